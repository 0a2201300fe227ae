/* The limit of a relay for one connection: two processes, one a direction, that do nothing but wait in the kernel. Each
 * passes its end of file on.
 *   relay LISTEN CONNECT splice    from socket to socket through a pipe of 1 MiB, without a copy
 *   relay LISTEN CONNECT copy      read and write, 256 KiB */
#include "common.h"
#include <signal.h>
#include <sys/wait.h>

enum { MOST_BYTES = 1 << 20, BUFFER_BYTES = 256 << 10 };

static int by_splice;

static void move_by_splice(int from, int to)
{
	int between[2];
	ssize_t n;
	check(pipe2(between, O_CLOEXEC), "pipe2");
	fcntl(between[1], F_SETPIPE_SZ, MOST_BYTES);
	while ((n = splice(from, NULL, between[1], NULL, MOST_BYTES, SPLICE_F_MOVE)) > 0)
		while (n > 0)
			n -= check(splice(between[0], NULL, to, NULL, n, SPLICE_F_MOVE), "splice");
}

static void move_by_copy(int from, int to)
{
	char *buffer = aligned_alloc(4096, BUFFER_BYTES);
	ssize_t n;
	while ((n = read(from, buffer, BUFFER_BYTES)) > 0)
		write_all(to, buffer, n);
}

static void start_direction(int from, int to)
{
	if (check(fork(), "fork") > 0)
		return;
	(by_splice ? move_by_splice : move_by_copy)(from, to);
	shutdown(to, SHUT_WR);
	_exit(0);
}

/* Their CPU time is ours only if they are waited for. */
static void reap(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		usage("relay LISTEN CONNECT splice|copy");
	by_splice = strcmp(argv[3], "splice") == 0;
	signal(SIGCHLD, reap);
	int listener = listen_on(argv[1], 0);
	for (;;) {
		int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
		int server = connect_to(argv[2]);
		start_direction(client, server);
		start_direction(server, client);
		close(client);
		close(server);
	}
}
