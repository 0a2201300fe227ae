/* What every program here needs: a socket by its path, a clock that Python's time.monotonic_ns() shares, and an end
 * with a message. The programs are yardsticks: they do one thing as cheaply as the kernel lets them, with few checks,
 * and none of what a user would want beside it. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline long check(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static inline void usage(const char *text)
{
	fprintf(stderr, "usage: %s\n", text);
	exit(2);
}

static inline long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path)
		usage("a socket path of at most 107 bytes");
	strcpy(address.sun_path, path);
	return address;
}

static inline int listen_on(const char *path, int flags)
{
	struct sockaddr_un address = address_of(path);
	int fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
	check(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
	check(listen(fd, 4096), "listen");
	return fd;
}

/* Blocks while the backlog is full. */
static inline int connect_to(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	check(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
	return fd;
}

static inline void write_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = check(write(fd, bytes, count), "write");
		bytes += n;
		count -= n;
	}
}

static inline int is_pipe(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

#endif
