/* The lines of the verification pass: 100 bytes, the client's number and the line's again and again, so that a line
 * made of two halves cannot look right. */
#ifndef BENCH_TAGGED_H
#define BENCH_TAGGED_H

#include <stdio.h>
#include <string.h>

enum { LINE = 100, TAG = 14 };

static inline void write_tagged(char *line, int client, long number)
{
	char tag[32];
	snprintf(tag, sizeof tag, "%04d:%08ld;", client % 10000, number % 100000000);
	for (int at = 0; at < LINE - 1; at += TAG)
		memcpy(line + at, tag, at + TAG < LINE ? TAG : LINE - 1 - at);
	line[LINE - 1] = '\n';
}

#endif
