/* The limit of whole lines: any number of clients to STDOUT (a pipe), each line whole, at splice speed.
 * FIONREAD tells how much a client has queued, a peek at the tail (SO_PEEK_OFF) where its last newline is. Everything
 * up to that newline, but not the newline, is spliced; the rest is *received*: the newline because the sender may have
 * changed its page since, the beginning of the next line because bytes left in the queue can stop a sendfile sender
 * for ever. Small queues are received whole, as one splice moves at most one message per slot of the pipe.
 *   lines_server SOCKET */
#include "common.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>

enum { TAIL_BYTES = 4096, COPY_BELOW = 16384, LINE_BYTES = 1 << 20, EVENTS = 256, PIPE_BYTES = 1 << 20 };

struct client {
	int fd;
	size_t carried; /* bytes of an unfinished line */
	char carry[LINE_BYTES];
};

static char out[4 * LINE_BYTES]; /* written before the next splice, and at the end of each turn */
static size_t out_count;

static void flush(void)
{
	write_all(STDOUT_FILENO, out, out_count);
	out_count = 0;
}

static void put(const char *bytes, size_t count)
{
	if (out_count + count > sizeof out)
		flush();
	memcpy(out + out_count, bytes, count);
	out_count += count;
}

static void receive(struct client *c, char *into, size_t count)
{
	check(recv(c->fd, into, count, MSG_WAITALL), "recv");
}

/* `count` more bytes into the carry; lines that it completes go out. */
static void copy(struct client *c, size_t count)
{
	if (c->carried + count > LINE_BYTES)
		count = LINE_BYTES - c->carried;
	receive(c, c->carry + c->carried, count);
	c->carried += count;
	char *newline = memrchr(c->carry, '\n', c->carried);
	size_t whole = newline ? newline + 1 - c->carry : 0;
	put(c->carry, whole);
	c->carried -= whole;
	memmove(c->carry, c->carry + whole, c->carried);
}

/* Where the last newline stands among `queued` bytes, or -1 if it is not in their tail. */
static long last_newline(struct client *c, int queued)
{
	char tail[TAIL_BYTES];
	int offset = queued - TAIL_BYTES;
	check(setsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset), "SO_PEEK_OFF");
	long n = check(recv(c->fd, tail, TAIL_BYTES, MSG_PEEK), "recv");
	char *newline = memrchr(tail, '\n', n);
	return newline ? offset + (newline - tail) : -1;
}

static void splice_lines(struct client *c, int queued, long newline)
{
	put(c->carry, c->carried);
	flush();
	for (long left = newline; left > 0;)
		left -= check(splice(c->fd, NULL, STDOUT_FILENO, NULL, left, SPLICE_F_MOVE), "splice");
	c->carried = queued - newline;
	receive(c, c->carry, c->carried);
	put("\n", 1);
	memmove(c->carry, c->carry + 1, --c->carried);
}

/* 0 at the client's end. */
static int serve(struct client *c)
{
	int queued = 0;
	check(ioctl(c->fd, FIONREAD, &queued), "FIONREAD");
	if (queued == 0) {
		put(c->carry, c->carried);
		return 0;
	}
	long newline = queued < COPY_BELOW ? -1 : last_newline(c, queued);
	if (newline < 0)
		copy(c, queued);
	else
		splice_lines(c, queued, newline);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		usage("lines_server SOCKET");
	int listener = listen_on(argv[1], 0);
	int poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
	check(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	for (;;) {
		int count = check(epoll_wait(poller, events, EVENTS, -1), "epoll_wait");
		for (int i = 0; i < count; i++) {
			struct client *c = events[i].data.ptr;
			if (c == NULL) {
				event.data.ptr = c = malloc(sizeof *c);
				c->carried = 0;
				c->fd = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
				check(epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event), "epoll_ctl");
			} else if (!serve(c)) {
				close(c->fd);
				free(c);
			}
		}
		flush();
	}
}
