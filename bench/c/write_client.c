/* STDIN, a regular file, to a socket: read and write with a buffer of the size given, or sendfile, which hands the
 * file's own pages over instead of a copy.
 *   write_client SOCKET BUFFER_BYTES|sendfile */
#include "common.h"
#include <sys/sendfile.h>

static void copy(int server, size_t size)
{
	char *buffer = aligned_alloc(4096, (size + 4095) & ~4095UL);
	ssize_t n;
	while ((n = check(read(STDIN_FILENO, buffer, size), "read")) > 0)
		write_all(server, buffer, n);
}

static void hand_over(int server)
{
	while (check(sendfile(server, STDIN_FILENO, NULL, 1 << 30), "sendfile") > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("write_client SOCKET BUFFER_BYTES|sendfile");
	int server = connect_to(argv[1]);
	if (strcmp(argv[2], "sendfile") == 0)
		hand_over(server);
	else
		copy(server, strtoul(argv[2], NULL, 10));
	return 0;
}
