/* The server at the far end of a relay: takes one client after another and throws their bytes away, by splice to
 * /dev/null.
 *   take SOCKET EXPECTED_BYTES
 * Prints "ready", and "reached NANOSECONDS" when that many have come from all clients together. */
#include "common.h"

enum { PIPE_BYTES = 1 << 20 };

static void say(const char *format, long long number)
{
	printf(format, number);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("take SOCKET EXPECTED_BYTES");
	long long expected = atoll(argv[2]), total = 0;
	int between[2], null = check(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
	check(pipe2(between, O_CLOEXEC), "pipe2");
	fcntl(between[1], F_SETPIPE_SZ, PIPE_BYTES);
	int listener = listen_on(argv[1], 0);
	say("ready\n", 0);
	for (;;) {
		int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
		ssize_t n;
		while ((n = splice(client, NULL, between[1], NULL, PIPE_BYTES, SPLICE_F_MOVE)) > 0) {
			for (ssize_t left = n; left > 0;)
				left -= check(splice(between[0], NULL, null, NULL, left, SPLICE_F_MOVE), "splice");
			if (total < expected && total + n >= expected)
				say("reached %lld\n", now_ns());
			total += n;
		}
		close(client);
	}
}
