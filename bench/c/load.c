/* The clients. All but echo and idle are one process a client, released together.
 *   load SOCKET lines CLIENTS BYTES_EACH write|sendfile   100-byte lines, 64 KiB at a time or a file's pages
 *   load SOCKET tagged CLIENTS LINES_EACH                 the verification pass, in pieces of odd sizes
 *   load SOCKET messages CLIENTS COUNT_EACH               that many separate writes of 64 bytes
 *   load SOCKET short CLIENTS COUNT_EACH                  connect, 64 bytes, end, wait for the close; again
 *   load SOCKET visits CLIENTS COUNT_EACH                 connect, wait for the server's close; again
 *   load SOCKET echo CLIENTS ROUNDS_EACH                  64 bytes there and back, all clients at once
 *   load SOCKET idle CLIENTS                              connect, print "ready", wait for the end of STDIN
 * Prints "START END", both in nanoseconds of the monotonic clock: the release, and when the last client was done. */
#include "common.h"
#include "tagged.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

enum { CHUNK = 65536, PATTERN = 25 * CHUNK, MESSAGE = 64 }; /* the pattern is a whole number of chunks and of lines */

static const char *path;
static int client_count;
static long amount;
static int with_sendfile, pattern_file;
static char pattern[PATTERN];

static void send_lines(int number)
{
	(void)number;
	int server = connect_to(path);
	off_t at = 0;
	for (long left = amount; left > 0;) {
		if (at == PATTERN)
			at = 0;
		size_t most = (with_sendfile ? PATTERN : CHUNK - at % CHUNK);
		if (most > (size_t)(PATTERN - at))
			most = PATTERN - at;
		if ((long)most > left)
			most = left;
		ssize_t n;
		if (with_sendfile) {
			n = check(sendfile(server, pattern_file, &at, most), "sendfile");
		} else {
			n = check(write(server, pattern + at, most), "write");
			at += n;
		}
		left -= n;
	}
	close(server);
}

static void send_tagged(int number)
{
	static const size_t pieces[] = {65536, 4093, 100, 31, 17000, 262144, 1, 7};
	int server = connect_to(path);
	size_t size = amount * LINE, at = 0;
	char *bytes = malloc(size);
	for (long i = 0; i < amount; i++)
		write_tagged(bytes + i * LINE, number, i);
	for (int i = number; at < size; i++) {
		size_t piece = pieces[i % (sizeof pieces / sizeof *pieces)];
		piece = piece > size - at ? size - at : piece;
		write_all(server, bytes + at, piece);
		at += piece;
	}
	close(server);
}

static void send_messages(int number)
{
	(void)number;
	int server = connect_to(path);
	for (long i = 0; i < amount; i++)
		write_all(server, pattern + LINE - MESSAGE, MESSAGE);
	close(server);
}

static void come_and_go(int number)
{
	(void)number;
	char rest[MESSAGE];
	for (long i = 0; i < amount; i++) {
		int server = connect_to(path);
		write_all(server, pattern + LINE - MESSAGE, MESSAGE);
		shutdown(server, SHUT_WR);
		while (read(server, rest, sizeof rest) > 0)
			;
		close(server);
	}
}

static void visit(int number)
{
	(void)number;
	char rest[MESSAGE];
	for (long i = 0; i < amount; i++) {
		int server = connect_to(path);
		while (read(server, rest, sizeof rest) > 0)
			;
		close(server);
	}
}

static void in_parallel(void (*client)(int))
{
	int gate[2], failed = 0, status;
	check(pipe2(gate, O_CLOEXEC), "pipe2");
	for (int i = 0; i < client_count; i++) {
		if (check(fork(), "fork") == 0) {
			char none;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(gate[1]);
			if (read(gate[0], &none, 1) < 0)
				die("gate");
			client(i);
			_exit(0);
		}
	}
	long long start = now_ns();
	close(gate[1]);
	while (wait(&status) > 0)
		failed |= status;
	printf("%lld %lld\n", start, now_ns());
	exit(failed ? 1 : 0);
}

static void echo(void)
{
	int poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"), busy = client_count;
	long *rounds = calloc(client_count, sizeof *rounds), *missing = calloc(client_count, sizeof *missing);
	int *fds = calloc(client_count, sizeof *fds);
	struct epoll_event events[256];
	char reply[MESSAGE];
	for (int i = 0; i < client_count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		fds[i] = connect_to(path);
		check(epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
	}
	long long start = now_ns();
	for (int i = 0; i < client_count; i++) {
		write_all(fds[i], pattern, MESSAGE);
		missing[i] = MESSAGE;
	}
	while (busy > 0) {
		int count = check(epoll_wait(poller, events, 256, -1), "epoll_wait");
		for (int e = 0; e < count; e++) {
			int i = events[e].data.u32;
			ssize_t n = check(read(fds[i], reply, missing[i]), "read");
			if (n == 0 || memcmp(reply, pattern + MESSAGE - missing[i], n) != 0)
				usage("a server that echoes");
			missing[i] -= n;
			if (missing[i] > 0)
				continue;
			if (++rounds[i] == amount) {
				epoll_ctl(poller, EPOLL_CTL_DEL, fds[i], NULL);
				busy--;
				continue;
			}
			write_all(fds[i], pattern, MESSAGE);
			missing[i] = MESSAGE;
		}
	}
	printf("%lld %lld\n", start, now_ns());
}

static void idle(void)
{
	struct rlimit files;
	char none;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < client_count; i++)
		connect_to(path);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &none, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		usage("load SOCKET MODE CLIENTS [AMOUNT_EACH] [write|sendfile]");
	path = argv[1];
	const char *mode = argv[2];
	client_count = atoi(argv[3]);
	amount = argc > 4 ? atol(argv[4]) : 0;
	with_sendfile = argc > 5 && strcmp(argv[5], "sendfile") == 0;
	for (int i = 0; i < PATTERN; i++)
		pattern[i] = i % LINE == LINE - 1 ? '\n' : 'a' + i % LINE % 26;
	if (with_sendfile) {
		pattern_file = check(memfd_create("lines", MFD_CLOEXEC), "memfd_create");
		write_all(pattern_file, pattern, PATTERN);
	}
	if (strcmp(mode, "lines") == 0)
		in_parallel(send_lines);
	else if (strcmp(mode, "tagged") == 0)
		in_parallel(send_tagged);
	else if (strcmp(mode, "messages") == 0)
		in_parallel(send_messages);
	else if (strcmp(mode, "short") == 0)
		in_parallel(come_and_go);
	else if (strcmp(mode, "visits") == 0)
		in_parallel(visit);
	else if (strcmp(mode, "echo") == 0)
		echo();
	else if (strcmp(mode, "idle") == 0)
		idle();
	else
		usage("lines, tagged, messages, short, visits, echo or idle");
	return 0;
}
