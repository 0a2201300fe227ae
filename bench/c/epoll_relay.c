/* The limit of a relay for many connections that say little: one thread, level-triggered epoll, read and write.
 *   epoll_relay LISTEN CONNECT
 * What the other end does not take at once is waited for, which is fair for small messages only. */
#include "common.h"
#include <sys/epoll.h>
#include <sys/resource.h>

enum { BUFFER_BYTES = 64 << 10, EVENTS = 256, MOST_FDS = 1 << 16 };

static int other_of[MOST_FDS];
static char has_ended[MOST_FDS], buffer[BUFFER_BYTES];
static int poller;

static void watch(int fd, int other)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	other_of[fd] = other;
	has_ended[fd] = 0;
	check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* An end of file is passed on; both are closed once both have come. */
static void pass_on(int fd)
{
	int other = other_of[fd];
	ssize_t n = recv(fd, buffer, BUFFER_BYTES, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0) {
		write_all(other, buffer, n);
		return;
	}
	epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
	shutdown(other, SHUT_WR);
	has_ended[fd] = 1;
	if (has_ended[other]) {
		close(fd);
		close(other);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("epoll_relay LISTEN CONNECT");
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < MOST_FDS ? files.rlim_max : MOST_FDS;
	setrlimit(RLIMIT_NOFILE, &files);
	int listener = listen_on(argv[1], 0);
	poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	watch(listener, listener);
	struct epoll_event events[EVENTS];
	for (;;) {
		int count = check(epoll_wait(poller, events, EVENTS, -1), "epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd != listener) {
				pass_on(events[i].data.fd);
				continue;
			}
			int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
			int server = connect_to(argv[2]);
			watch(client, server);
			watch(server, client);
		}
	}
}
