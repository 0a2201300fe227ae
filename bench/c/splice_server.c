/* The limit of one client to STDOUT: socket to pipe by splice, without a copy in user space. Where STDOUT is not a
 * pipe, a private one of 1 MiB stands between. One client after another.
 *   splice_server SOCKET */
#include "common.h"

enum { PIPE_BYTES = 1 << 20 };

static int between[2] = {-1, -1};

static void move(int from, int to, size_t count)
{
	while (count > 0)
		count -= check(splice(from, NULL, to, NULL, count, SPLICE_F_MOVE), "splice");
}

static void serve(int client)
{
	int through = between[1] >= 0 ? between[1] : STDOUT_FILENO;
	ssize_t n;
	while ((n = check(splice(client, NULL, through, NULL, PIPE_BYTES, SPLICE_F_MOVE), "splice")) > 0)
		if (through != STDOUT_FILENO)
			move(between[0], STDOUT_FILENO, n);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		usage("splice_server SOCKET");
	int listener = listen_on(argv[1], 0);
	if (!is_pipe(STDOUT_FILENO)) {
		check(pipe2(between, O_CLOEXEC), "pipe2");
		fcntl(between[1], F_SETPIPE_SZ, PIPE_BYTES);
	} else {
		fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	}
	for (;;) {
		int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
		serve(client);
		close(client);
	}
}
