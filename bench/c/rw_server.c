/* The read and write loop that every text on sockets shows, with a buffer of 64 KiB or of the size given (the
 * texts have 100 bytes). One client after another.
 *   rw_server SOCKET [BUFFER_BYTES] */
#include "common.h"

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3)
		usage("rw_server SOCKET [BUFFER_BYTES]");
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 65536;
	char *buffer = malloc(size);
	int listener = listen_on(argv[1], 0);
	for (;;) {
		int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
		ssize_t n;
		while ((n = check(read(client, buffer, size), "read")) > 0)
			write_all(STDOUT_FILENO, buffer, n);
		close(client);
	}
}
