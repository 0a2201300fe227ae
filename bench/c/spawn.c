/* What a process for each client costs without the clients: no socket, no environment of its own, nobody to be asked.
 *   spawn HOW THREADS PROGRAM COUNT     HOW is spawn (posix_spawn), vfork or fork; each thread waits for what it started
 * Prints "START END", both in nanoseconds of the monotonic clock. */
#include "common.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

enum { MOST_THREADS = 64 };

extern char **environ;
static char *arguments[2];
static const char *how;
static long each;

static pid_t begin(void)
{
	pid_t pid;
	if (strcmp(how, "spawn") == 0) {
		errno = posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ);
		if (errno != 0)
			die("posix_spawn");
		return pid;
	}
	pid = strcmp(how, "vfork") == 0 ? vfork() : fork();
	if (pid == 0) {
		execve(arguments[0], arguments, environ);
		_exit(127);
	}
	return check(pid, how);
}

static void *go_on(void *none)
{
	int status;
	for (long i = 0; i < each; i++)
		if (check(waitpid(begin(), &status, 0), "waitpid") > 0 && status != 0)
			usage("a program that can be run, and ends with status 0");
	return none;
}

int main(int argc, char **argv)
{
	pthread_t threads[MOST_THREADS];
	if (argc != 5)
		usage("spawn spawn|vfork|fork THREADS PROGRAM COUNT");
	how = argv[1];
	arguments[0] = argv[3];
	int count = atoi(argv[2]);
	if (count < 1 || count > MOST_THREADS)
		usage("1 to 64 threads");
	each = atol(argv[4]) / count;
	long long start = now_ns();
	for (int i = 0; i < count; i++)
		if ((errno = pthread_create(&threads[i], NULL, go_on, NULL)) != 0)
			die("pthread_create");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%lld %lld\n", start, now_ns());
	return 0;
}
