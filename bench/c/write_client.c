/* STDIN, a regular file, to a socket: read and write with a buffer of the size given, or sendfile, which hands the
 * file's own pages over instead of a copy. With TOTAL_BYTES nothing is read: the buffer goes out again and again, and
 * "started NANOSECONDS" is printed before.
 *   write_client SOCKET BUFFER_BYTES|sendfile
 *   write_client SOCKET BUFFER_BYTES TOTAL_BYTES */
#include "common.h"
#include <sys/sendfile.h>

static void copy(int server, size_t size)
{
	char *buffer = aligned_alloc(4096, (size + 4095) & ~4095UL);
	ssize_t n;
	while ((n = check(read(STDIN_FILENO, buffer, size), "read")) > 0)
		write_all(server, buffer, n);
}

static void repeat(int server, size_t size, long long total)
{
	char *buffer = aligned_alloc(4096, (size + 4095) & ~4095UL);
	memset(buffer, 'a', size);
	printf("started %lld\n", now_ns());
	fflush(stdout);
	for (; total > 0; total -= size)
		write_all(server, buffer, total < (long long)size ? (size_t)total : size);
}

static void hand_over(int server)
{
	while (check(sendfile(server, STDIN_FILENO, NULL, 1 << 30), "sendfile") > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4)
		usage("write_client SOCKET BUFFER_BYTES|sendfile [TOTAL_BYTES]");
	int server = connect_to(argv[1]);
	if (argc == 4)
		repeat(server, strtoul(argv[2], NULL, 10), atoll(argv[3]));
	else if (strcmp(argv[2], "sendfile") == 0)
		hand_over(server);
	else
		copy(server, strtoul(argv[2], NULL, 10));
	return 0;
}
