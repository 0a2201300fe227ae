/* Empties STDIN, a server's STDOUT pipe, as cheaply as can be (splice to /dev/null) and counts.
 *   drain EXPECTED_BYTES
 * Prints "reached NANOSECONDS" when that many have come, and "total BYTES" at the end of STDIN. */
#include "common.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		usage("drain EXPECTED_BYTES");
	long long expected = atoll(argv[1]), total = 0;
	int null = check(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
	ssize_t n;
	while ((n = check(splice(STDIN_FILENO, NULL, null, NULL, 1 << 20, SPLICE_F_MOVE), "splice")) > 0) {
		if (total < expected && total + n >= expected) {
			printf("reached %lld\n", now_ns());
			fflush(stdout);
		}
		total += n;
	}
	printf("total %lld\n", total);
	return 0;
}
