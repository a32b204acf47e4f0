/* SPDX-License-Identifier: ISC */
/* retry.c - the retry schedule. What is done about it is in settle.c. */
#include "smtpd/queue/retry.h"

enum { RETRY_FALLBACK_MS = 15 * 60 * 1000 };

/* A clock that was set back must not make a lifetime endless, nor one set forward overflow. */
static int64_t add(int64_t time_ms, uint64_t span_ms)
{
	if (span_ms > INT64_MAX / 2 || time_ms > INT64_MAX / 2)
		return INT64_MAX / 2;
	return time_ms + (int64_t)span_ms;
}

int64_t retry_until_ms(const struct config *config, int64_t arrival_ms)
{
	return add(arrival_ms, config->queue_lifetime_ms);
}

int64_t retry_next_ms(const struct config *config, unsigned attempts, int64_t now_ms, int64_t arrival_ms)
{
	size_t count = config->queue_retry_count;
	size_t n = attempts > 0 ? attempts - 1 : 0;
	uint64_t wait = RETRY_FALLBACK_MS;
	int64_t next, until = retry_until_ms(config, arrival_ms);

	if (count > 0)
		wait = config->queue_retry_ms[n < count ? n : count - 1];
	next = add(now_ms, wait);
	return next > until && until > now_ms ? until : next;
}

bool retry_is_over(const struct config *config, int64_t now_ms, int64_t arrival_ms)
{
	return now_ms >= retry_until_ms(config, arrival_ms);
}

bool retry_notice_is_due(const struct config *config, const struct smtp_queue_entry *entry,
			 int64_t now_ms)
{
	if (config->queue_delay_notice_ms == 0 || entry->delay_notice_sent)
		return false;
	if (entry->reverse_path[0] == '\0')
		return false;
	return now_ms >= add(entry->arrival_ms, config->queue_delay_notice_ms);
}
