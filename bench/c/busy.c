/* One process that keeps CLIENTS connections to a server busy for a set time and reads what CPU the server used.
 *   busy SOCKET echo CLIENTS BYTES SERVER_PID MILLISECONDS    BYTES there and back on connections kept open
 *   busy SOCKET short CLIENTS BYTES SERVER_PID MILLISECONDS   connect, BYTES, wait for the server's close; again
 * The window begins after a warm-up of a quarter of its length. Prints "COUNT CPU_NS WALL_NS": what was done in the
 * window, and the CPU (user and system, all threads, ended ones too) that the server's process used in it. */
#include "common.h"
#include <stdint.h>
#include <sys/epoll.h>

enum { MOST_CLIENTS = 1024, MOST_BYTES = 1 << 20, SILENCE_MS = 5000 };

struct client {
	int fd, waits_for_room;
	size_t unsent, missing;
};

static const char *path;
static struct client clients[MOST_CLIENTS];
static int client_count, poller, short_lived;
static size_t size;
static long done;
static char pattern[MOST_BYTES], reply[MOST_BYTES];

static void watch(int operation, struct client *client)
{
	struct epoll_event event = {.events = EPOLLIN | (client->waits_for_room ? EPOLLOUT : 0), .data.ptr = client};
	check(epoll_ctl(poller, operation, client->fd, &event), "epoll_ctl");
}

static void send_more(struct client *client)
{
	while (client->unsent > 0) {
		ssize_t n = send(client->fd, pattern + size - client->unsent, client->unsent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			break;
		client->unsent -= check(n, "send");
	}
	if (client->waits_for_room == (client->unsent > 0))
		return;
	client->waits_for_room = !client->waits_for_room;
	watch(EPOLL_CTL_MOD, client);
}

static void begin(struct client *client)
{
	client->unsent = client->missing = size;
	send_more(client);
}

static void open_client(struct client *client)
{
	client->fd = connect_to(path);
	client->waits_for_room = 0;
	watch(EPOLL_CTL_ADD, client);
	begin(client);
}

/* Only the first bytes of a piece are compared: enough to see a shift, and cheap. */
static int is_echo(const struct client *client, size_t count)
{
	return memcmp(reply, pattern + size - client->missing, count < 64 ? count : 64) == 0;
}

static void receive(struct client *client)
{
	ssize_t n = recv(client->fd, reply, short_lived ? 1 : client->missing, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	check(n, "recv");
	if (short_lived) {
		if (n > 0)
			usage("a server that reads and closes");
		close(client->fd);
		done++;
		open_client(client);
		return;
	}
	if (n == 0 || !is_echo(client, n))
		usage("a server that echoes");
	client->missing -= n;
	if (client->missing > 0)
		return;
	done++;
	begin(client);
}

static void turn(void)
{
	struct epoll_event events[256];
	int count = check(epoll_wait(poller, events, 256, SILENCE_MS), "epoll_wait");
	if (count == 0)
		usage("a server that answers within 5 s");
	for (int e = 0; e < count; e++) {
		struct client *client = events[e].data.ptr;
		if (client->waits_for_room && events[e].events & EPOLLOUT)
			send_more(client);
		if (events[e].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			receive(client);
	}
}

static long long cpu_ns(clockid_t server)
{
	struct timespec t;
	check(clock_gettime(server, &t), "clock_gettime");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	clockid_t server;
	if (argc != 7)
		usage("busy SOCKET echo|short CLIENTS BYTES SERVER_PID MILLISECONDS");
	path = argv[1];
	short_lived = strcmp(argv[2], "short") == 0;
	client_count = atoi(argv[3]);
	size = atol(argv[4]);
	if (client_count > MOST_CLIENTS || size > MOST_BYTES)
		usage("at most 1024 clients and 1 MiB");
	errno = clock_getcpuclockid(atoi(argv[5]), &server);
	if (errno != 0)
		die("clock_getcpuclockid");
	long long window = atol(argv[6]) * 1000000LL;
	for (int i = 0; i < MOST_BYTES; i++)
		pattern[i] = (uint32_t)i * 2654435761u >> 24;
	poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	for (int i = 0; i < client_count; i++)
		open_client(clients + i);
	for (long long warm = now_ns() + window / 4; now_ns() < warm;)
		turn();
	long done_before = done;
	long long cpu_before = cpu_ns(server), start = now_ns(), now;
	do
		turn();
	while ((now = now_ns()) < start + window);
	printf("%ld %lld %lld\n", done - done_before, cpu_ns(server) - cpu_before, now - start);
	return 0;
}
