/* SPDX-License-Identifier: ISC */
/* rate_limit.c - a token bucket for each peer, in memory that is set aside at the start: a table of small
 * sets, each set under the mutex of its shard. A full set forgets the peer whose bucket is the fullest.
 * A bucket is one instant: when it will be full again.
 */
#include "libsmtp/middleware/rate_limit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libsmtp/middleware/middleware_private.h"

enum {
	SHARDS = 64,
	WAYS = 8, /* peers in a set */
	PEERS_MAX = 1 << 24,
	MINUTE_US = 60000000
};

struct bucket {
	uint8_t peer[16];
	uint64_t full_us; /* 0: nobody's */
};

struct shard {
	pthread_mutex_t lock;
	struct bucket *buckets; /* of sets_in_shard * WAYS */
};

struct rate_limit {
	uint64_t token_us;  /* that one token takes to come back */
	uint64_t burst_us;  /* that all of them take */
	uint64_t seed[2];   /* peers can't choose addresses that share a set */
	uint32_t sets_in_shard;
	unsigned shard_count; /* whose mutex is there */
	struct bucket *buckets;
	struct shard shards[SHARDS];
	struct middleware_gate gate;
	bool at_connect;
};

/* --- the table -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

static uint64_t hash_of(const struct rate_limit *limit, const uint8_t peer[16])
{
	uint64_t half[2];

	memcpy(half, peer, sizeof half);
	return mix(mix(half[0] ^ limit->seed[0]) ^ half[1] ^ limit->seed[1]);
}

/* The bucket of the peer, or the one that is nearest to full, which is as good as new or the least loss.
 * What is nobody's has been full for ever. */
static struct bucket *find(struct bucket *set, const uint8_t peer[16])
{
	struct bucket *fullest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].full_us > 0 && memcmp(set[i].peer, peer, 16) == 0)
			return &set[i];
		if (set[i].full_us < fullest->full_us)
			fullest = &set[i];
	}
	memcpy(fullest->peer, peer, 16);
	fullest->full_us = 0;
	return fullest;
}

/* The generic cell rate algorithm: a token may be taken when the bucket would be full again no later than
 * a whole burst from now. */
static bool take(const struct rate_limit *limit, struct bucket *bucket, uint64_t now_us)
{
	uint64_t full_us = (bucket->full_us > now_us ? bucket->full_us : now_us) + limit->token_us;

	if (full_us > now_us + limit->burst_us)
		return false;
	bucket->full_us = full_us;
	return true;
}

bool rate_limit_take(struct rate_limit *limit, const struct smtp_network *peer, uint64_t now_ms)
{
	struct smtp_network key = *peer;
	struct shard *shard;
	struct bucket *set;
	uint64_t hash;
	bool taken;

	if (!smtp_network_is_ipv4(&key))
		smtp_network_cut(&key, 64); /* one customer has a /64 at least */
	hash = hash_of(limit, key.octets);
	shard = &limit->shards[hash % SHARDS];
	set = shard->buckets + (hash / SHARDS % limit->sets_in_shard) * WAYS;
	(void)pthread_mutex_lock(&shard->lock);
	taken = take(limit, find(set, key.octets), now_ms * 1000);
	(void)pthread_mutex_unlock(&shard->lock);
	return taken;
}

/* --- life ------------------------------------------------------------------------------------- */

void rate_limit_free(struct rate_limit *limit)
{
	if (!limit)
		return;
	for (unsigned i = 0; i < limit->shard_count; i++)
		(void)pthread_mutex_destroy(&limit->shards[i].lock);
	free(limit->buckets);
	free(limit);
}

static int init_shards(struct rate_limit *limit)
{
	size_t per_shard = (size_t)limit->sets_in_shard * WAYS;

	limit->buckets = calloc(SHARDS * per_shard, sizeof *limit->buckets);
	if (!limit->buckets)
		return SMTP_ENOMEM;
	while (limit->shard_count < SHARDS) {
		struct shard *shard = &limit->shards[limit->shard_count];

		if (pthread_mutex_init(&shard->lock, NULL) != 0)
			return SMTP_ENOMEM;
		shard->buckets = limit->buckets + limit->shard_count * per_shard;
		limit->shard_count++;
	}
	return 0;
}

int rate_limit_new(struct rate_limit **out, const struct smtp_rate_limit_options *options)
{
	struct rate_limit *limit = calloc(1, sizeof *limit);
	int err = limit ? 0 : SMTP_ENOMEM;

	if (!err && getrandom(limit->seed, sizeof limit->seed, 0) != (ssize_t)sizeof limit->seed)
		err = SMTP_EIO;
	if (!err) {
		limit->token_us = (MINUTE_US + options->per_minute - 1) / options->per_minute;
		limit->burst_us = limit->token_us * options->burst;
		limit->sets_in_shard = (options->max_peers + SHARDS * WAYS - 1) / (SHARDS * WAYS);
		limit->at_connect = options->at == SMTP_AT_CONNECT;
		err = init_shards(limit);
	}
	if (err) {
		rate_limit_free(limit);
		return err;
	}
	*out = limit;
	return 0;
}

/* --- the middleware --------------------------------------------------------------------------- */

static enum smtp_verdict check(struct smtp_server_session *session, void *user)
{
	struct rate_limit *limit = user;
	struct smtp_network peer;

	if (smtp_network_parse(&peer, smtp_server_session_peer_address(session)) != 0 ||
	    rate_limit_take(limit, &peer, smtp_server_session_now_ms(session)))
		return SMTP_NEXT;
	return middleware_refuse(session, limit->at_connect ? 421 : 450, "4.7.1",
				 "too much from your address, try again later");
}

static void release(void *user)
{
	struct middleware_gate *gate = user;

	rate_limit_free(gate->user);
}

void smtp_rate_limit_options_init(struct smtp_rate_limit_options *options)
{
	*options = (struct smtp_rate_limit_options)SMTP_RATE_LIMIT_OPTIONS_INIT;
}

static bool options_are_valid(const struct smtp_rate_limit_options *options)
{
	return middleware_gate_handler(options->at) && options->per_minute > 0 &&
	       options->per_minute <= MINUTE_US && options->burst > 0 && options->max_peers > 0 &&
	       options->max_peers <= PEERS_MAX;
}

int smtp_middleware_rate_limit(struct smtp_middleware *out,
			       const struct smtp_rate_limit_options *given)
{
	struct smtp_rate_limit_options options = SMTP_RATE_LIMIT_OPTIONS_INIT;
	struct rate_limit *limit = NULL;
	int err = given ? smtp_sized_copy(&options, sizeof options, given, 0) : 0;

	if (!err && (!out || !options_are_valid(&options)))
		err = SMTP_EINVAL;
	if (!err)
		err = rate_limit_new(&limit, &options);
	if (err)
		return err;
	limit->gate = (struct middleware_gate){ check, limit };
	middleware_fill(out, "rate_limit", middleware_gate_handler(options.at), &limit->gate,
			release);
	return 0;
}
