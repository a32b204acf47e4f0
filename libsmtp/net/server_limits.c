/* SPDX-License-Identifier: ISC */
/* How many connections there may be, in all and from one peer. The total is one atomic; peers are
 * counted in a table whose shards each have a mutex, taken at accept and at close only. A peer
 * without a connection takes no memory, so the table is bounded by the total.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "libsmtp/net/server_internal.h"

enum { SHARDS = 16, BUCKETS = 128 };

struct peer {
	struct peer *next;
	struct server_peer_key key;
	uint32_t connections;
};

struct shard {
	pthread_mutex_t lock;
	struct peer *buckets[BUCKETS];
};

struct server_limits {
	uint32_t max;
	uint32_t max_per_peer; /* 0: no limit */
	atomic_uint connections;
	uint64_t seed; /* peers can't choose addresses that share a bucket */
	unsigned shard_count; /* whose mutex is there */
	struct shard shards[SHARDS];
};

int server_limits_new(struct server_limits **out, const struct smtp_server_options *options)
{
	struct server_limits *limits = calloc(1, sizeof *limits);

	if (!limits)
		return SMTP_ENOMEM;
	limits->max = options->max_connections;
	limits->max_per_peer = options->max_connections_per_ip;
	atomic_init(&limits->connections, 0);
	if (getrandom(&limits->seed, sizeof limits->seed, 0) != (ssize_t)sizeof limits->seed) {
		free(limits);
		return SMTP_EIO;
	}
	while (limits->shard_count < SHARDS) {
		if (pthread_mutex_init(&limits->shards[limits->shard_count].lock, NULL) != 0) {
			server_limits_free(limits);
			return SMTP_ENOMEM;
		}
		limits->shard_count++;
	}
	*out = limits;
	return 0;
}

static void free_shard(struct shard *shard)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (shard->buckets[i]) {
			struct peer *peer = shard->buckets[i];

			shard->buckets[i] = peer->next;
			free(peer);
		}
	}
	(void)pthread_mutex_destroy(&shard->lock);
}

void server_limits_free(struct server_limits *limits)
{
	if (!limits)
		return;
	for (unsigned i = 0; i < limits->shard_count; i++)
		free_shard(&limits->shards[i]);
	free(limits);
}

static uint64_t big_endian(const uint8_t *octets, size_t n)
{
	uint64_t number = 0;

	for (size_t i = 0; i < n; i++)
		number = number << 8 | octets[i];
	return number;
}

struct server_peer_key server_peer_key_of(const struct smtp_socket_address *address)
{
	struct server_peer_key key = { 0 };
	const uint8_t *octets = address->u.in6.sin6_addr.s6_addr;

	if (address->u.any.sa_family == AF_INET) {
		key.family = 4;
		key.prefix = ntohl(address->u.in.sin_addr.s_addr);
	} else if (address->u.any.sa_family == AF_INET6 &&
		   IN6_IS_ADDR_V4MAPPED(&address->u.in6.sin6_addr)) {
		key.family = 4;
		key.prefix = big_endian(octets + 12, 4);
	} else if (address->u.any.sa_family == AF_INET6) {
		key.family = 6; /* one customer has a /64 at least */
		key.prefix = big_endian(octets, 8);
	}
	return key;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

static struct shard *find(struct server_limits *limits, struct server_peer_key key,
			  struct peer ***bucket)
{
	uint64_t hash = mix(mix(key.prefix ^ limits->seed) + key.family);
	struct shard *shard = &limits->shards[hash % SHARDS];

	*bucket = &shard->buckets[hash / SHARDS % BUCKETS];
	return shard;
}

/* The place of the peer in its chain, or the end of that. */
static struct peer **place_of(struct peer **bucket, struct server_peer_key key)
{
	while (*bucket && ((*bucket)->key.prefix != key.prefix ||
			   (*bucket)->key.family != key.family))
		bucket = &(*bucket)->next;
	return bucket;
}

static bool enter_peer(struct server_limits *limits, struct server_peer_key key)
{
	struct peer **bucket;
	struct shard *shard = find(limits, key, &bucket);
	struct peer **place;
	bool admitted = false;

	(void)pthread_mutex_lock(&shard->lock);
	place = place_of(bucket, key);
	if (!*place) {
		*place = calloc(1, sizeof **place);
		if (*place)
			(*place)->key = key;
	}
	if (*place && (*place)->connections < limits->max_per_peer) {
		(*place)->connections++;
		admitted = true;
	}
	(void)pthread_mutex_unlock(&shard->lock);
	return admitted;
}

static void leave_peer(struct server_limits *limits, struct server_peer_key key)
{
	struct peer **bucket;
	struct shard *shard = find(limits, key, &bucket);
	struct peer **place;

	(void)pthread_mutex_lock(&shard->lock);
	place = place_of(bucket, key);
	if (*place && --(*place)->connections == 0) {
		struct peer *gone = *place;

		*place = gone->next;
		free(gone);
	}
	(void)pthread_mutex_unlock(&shard->lock);
}

static bool counts_peer(const struct server_limits *limits, struct server_peer_key key)
{
	return limits->max_per_peer != 0 && key.family != 0;
}

enum server_admission server_limits_enter(struct server_limits *limits, struct server_peer_key key)
{
	if (atomic_fetch_add_explicit(&limits->connections, 1, memory_order_relaxed) >=
	    limits->max) {
		(void)atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
		return SERVER_FULL;
	}
	if (counts_peer(limits, key) && !enter_peer(limits, key)) {
		(void)atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
		return SERVER_PEER_FULL;
	}
	return SERVER_ADMITTED;
}

void server_limits_leave(struct server_limits *limits, struct server_peer_key key)
{
	if (counts_peer(limits, key))
		leave_peer(limits, key);
	(void)atomic_fetch_sub_explicit(&limits->connections, 1, memory_order_relaxed);
}
