/* The limit of many clients: one thread, level-triggered epoll, accept in batches, and the first read right after the
 * accept, when a short connection's bytes are already there.
 *   epoll_server SOCKET echo       bytes go back to their client
 *   epoll_server SOCKET collect    bytes go to STDOUT as they come; one write per turn of the loop */
#include "common.h"
#include <sys/epoll.h>
#include <sys/resource.h>

enum { READ_BYTES = 65536, HELD_BYTES = 1 << 20, EVENTS = 256, ACCEPTS = 64 };

static char held[HELD_BYTES];
static size_t held_count;
static int poller, echoing;

static void flush(void)
{
	write_all(STDOUT_FILENO, held, held_count);
	held_count = 0;
}

/* What a client has sent, once. 1: more may come; 0: its end; -1: nothing there yet. */
static int serve(int client)
{
	if (HELD_BYTES - held_count < READ_BYTES)
		flush();
	char *bytes = held + held_count;
	ssize_t n = recv(client, bytes, READ_BYTES, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? -1 : 0;
	if (n > 0 && echoing)
		return send(client, bytes, n, MSG_NOSIGNAL) == n;
	held_count += n;
	return n > 0;
}

static void accept_some(int listener)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0)
			return;
		int state = serve(client);
		if (state > 0)
			state = serve(client); /* the end is often there too */
		if (state == 0) {
			close(client);
			continue;
		}
		struct epoll_event event = {.events = EPOLLIN, .data.fd = client};
		check(epoll_ctl(poller, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("epoll_server SOCKET echo|collect");
	echoing = strcmp(argv[2], "echo") == 0;
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	int listener = listen_on(argv[1], SOCK_NONBLOCK);
	poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
	check(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
	for (;;) {
		int count = check(epoll_wait(poller, events, EVENTS, -1), "epoll_wait");
		for (int i = 0; i < count; i++)
			if (events[i].data.fd == listener)
				accept_some(listener);
			else if (serve(events[i].data.fd) == 0)
				close(events[i].data.fd);
		flush();
	}
}
