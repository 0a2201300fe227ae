/* Reads what came out of a server's STDOUT and judges every line of the verification pass.
 *   check_lines CLIENTS LINES_EACH
 * Prints "reached NANOSECONDS" when as many bytes have come as were sent, and at the end of STDIN
 * "verdict TORN MISSING DISORDERED": lines that nobody sent, lines that were sent and did not come, lines that came
 * after a later one of the same client. */
#include "common.h"
#include "tagged.h"

enum { BUFFER_BYTES = 1 << 20 };

static char buffer[BUFFER_BYTES];
static long *next, clients, lines_each, good, torn, disordered;

static void judge(const char *line, size_t size)
{
	char expected[LINE];
	int client;
	long number;
	if (size == LINE && sscanf(line, "%4d:%8ld;", &client, &number) == 2 && client < clients) {
		write_tagged(expected, client, number);
		if (memcmp(line, expected, LINE) == 0) {
			good++;
			if (number < next[client])
				disordered++;
			else
				next[client] = number + 1;
			return;
		}
	}
	torn++;
}

/* Judges the whole lines at the front; returns how many bytes they are. */
static size_t judge_all(size_t count)
{
	size_t at = 0;
	char *newline;
	while ((newline = memchr(buffer + at, '\n', count - at))) {
		judge(buffer + at, newline + 1 - (buffer + at));
		at = newline + 1 - buffer;
	}
	if (at == 0 && count == BUFFER_BYTES) {
		torn++;
		at = count;
	}
	return at;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("check_lines CLIENTS LINES_EACH");
	clients = atol(argv[1]);
	lines_each = atol(argv[2]);
	next = calloc(clients, sizeof *next);
	long long expected = clients * lines_each * LINE, total = 0;
	size_t held = 0;
	ssize_t n;
	while ((n = check(read(STDIN_FILENO, buffer + held, BUFFER_BYTES - held), "read")) > 0) {
		if (total < expected && total + n >= expected) {
			printf("reached %lld\n", now_ns());
			fflush(stdout);
		}
		total += n;
		held += n;
		size_t judged = judge_all(held);
		held -= judged;
		memmove(buffer, buffer + judged, held);
	}
	torn += held > 0;
	printf("verdict %ld %ld %ld\n", torn, clients * lines_each - good, disordered);
	return 0;
}
