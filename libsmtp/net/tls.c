/* SPDX-License-Identifier: ISC */
/* The adapter of OpenSSL: contexts from files, streams over non-blocking sockets, errors as one line.
 * Octets go through a BIO of our own, because OpenSSL's raises SIGPIPE. Nothing here waits, and
 * nothing here knows of SMTP.
 */
#include "libsmtp/net/tls_private.h"


#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsmtp/net/tls_certificate.h"
#include "libsmtp/net/tls_pin.h"

/* --- the BIO --------------------------------------------------------------------------------- */

static bool is_retry(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int bio_write(BIO *bio, const char *octets, int count)
{
	struct smtp_tls_stream *stream = BIO_get_data(bio);
	ssize_t n = send(stream->fd, octets, (size_t)count, MSG_NOSIGNAL | MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	if (n >= 0)
		return (int)n;
	if (is_retry(errno))
		BIO_set_retry_write(bio);
	else
		stream->socket_errno = errno;
	return -1;
}

static int bio_read(BIO *bio, char *out, int cap)
{
	struct smtp_tls_stream *stream = BIO_get_data(bio);
	ssize_t n = recv(stream->fd, out, (size_t)cap, MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	if (n >= 0)
		return (int)n;
	if (is_retry(errno))
		BIO_set_retry_read(bio);
	else
		stream->socket_errno = errno;
	return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *new_socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "smtp socket");

	if (method && BIO_meth_set_write(method, bio_write) == 1 &&
	    BIO_meth_set_read(method, bio_read) == 1 && BIO_meth_set_ctrl(method, bio_ctrl) == 1 &&
	    BIO_meth_set_create(method, bio_create) == 1)
		return method;
	BIO_meth_free(method);
	return NULL;
}

/* --- contexts -------------------------------------------------------------------------------- */

/* The oldest error of the queue, which is the cause of the others; empties the queue. */
const char *smtp_tls_error_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	if (code && ERR_SYSTEM_ERROR(code))
		text = strerrordesc_np(ERR_GET_REASON(code));
	ERR_clear_error();
	return text ? text : "unknown error";
}

void smtp_tls_say(char problem[SMTP_TLS_PROBLEM_MAX], const char *where, const char *what)
{
	(void)snprintf(problem, SMTP_TLS_PROBLEM_MAX, "%s%s%s", where, *where ? ": " : "", what);
}

int smtp_tls_context_new(struct smtp_tls_context **out, const SSL_METHOD *method)
{
	struct smtp_tls_context *context = calloc(1, sizeof *context);

	if (!context)
		return SMTP_ENOMEM;
	atomic_init(&context->refs, 1);
	context->socket_method = new_socket_method();
	context->ssl = SSL_CTX_new(method);
	if (!context->socket_method || !context->ssl ||
	    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1) {
		smtp_tls_context_unref(context);
		return SMTP_ENOMEM;
	}
	/* A peer that closes without close_notify is common; SMTP knows its own ends of data. */
	(void)SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
							SSL_OP_CIPHER_SERVER_PREFERENCE |
							SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
						     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						     SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context->ssl, 1); /* a record in one system call, not two */
	(void)SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
	*out = context;
	return 0;
}

static int load_trust(SSL_CTX *ssl, const char *ca_file, char problem[SMTP_TLS_PROBLEM_MAX])
{
	const struct smtp_tls_pem pem = { .file = ca_file };

	if (!ca_file)
		return SSL_CTX_set_default_verify_paths(ssl) == 1 ? 0 : SMTP_ETLS;
	return smtp_tls_load_trust(ssl, &pem, false, problem);
}

int smtp_tls_client_context_new(struct smtp_tls_context **out, bool verify, const char *ca_file,
				char problem[SMTP_TLS_PROBLEM_MAX])
{
	struct smtp_tls_context *context = NULL;
	int err = smtp_tls_context_new(&context, TLS_client_method());

	*problem = '\0';
	if (!err && verify) {
		context->verify = true;
		SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
		err = load_trust(context->ssl, ca_file, problem);
	}
	ERR_clear_error();
	if (err) {
		if (!*problem)
			smtp_tls_say(problem, "", smtp_error_str(err));
		smtp_tls_context_unref(context);
		return err;
	}
	*out = context;
	return 0;
}

int smtp_tls_client_context_set_certificate(struct smtp_tls_context *context,
					    const char *certificate_file, const char *key_file,
					    const char *passphrase,
					    char problem[SMTP_TLS_PROBLEM_MAX])
{
	const struct smtp_tls_pair pair = {
		.certificate.file = certificate_file,
		.key.file = key_file,
		.passphrase = passphrase,
	};

	*problem = '\0';
	return smtp_tls_load_pair(context->ssl, &pair, problem);
}

void smtp_tls_client_context_set_pin(struct smtp_tls_context *context,
				     const uint8_t pin[SMTP_TLS_PIN_SIZE])
{
	context->pinned = true;
	memcpy(context->pin, pin, SMTP_TLS_PIN_SIZE);
}

struct smtp_tls_context *smtp_tls_context_ref(struct smtp_tls_context *context)
{
	if (context)
		(void)atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
	return context;
}

void smtp_tls_context_unref(struct smtp_tls_context *context)
{
	if (!context ||
	    atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1)
		return;
	smtp_tls_context_unref(context->next);
	SSL_CTX_free(context->ssl);
	BIO_meth_free(context->socket_method);
	free(context);
}

/* --- streams --------------------------------------------------------------------------------- */

/* The address in "192.0.2.1", "::1", "[::1]", "[192.0.2.1]" or "[IPv6:::1]"; false for a name. */
static bool address_of(const char *name, char out[INET6_ADDRSTRLEN])
{
	unsigned char octets[16];
	size_t n = strlen(name);

	if (n >= 2 && name[0] == '[' && name[n - 1] == ']') {
		name++;
		n -= 2;
		if (n > 5 && strncasecmp(name, "IPv6:", 5) == 0) {
			name += 5;
			n -= 5;
		}
	}
	if (n >= INET6_ADDRSTRLEN)
		return false;
	memcpy(out, name, n);
	out[n] = '\0';
	return inet_pton(AF_INET, out, octets) == 1 || inet_pton(AF_INET6, out, octets) == 1;
}

/* SNI holds names only (RFC 6066, 3); the certificate must bear the name or the address. */
static int set_name(SSL *ssl, const char *name, bool verify)
{
	char address[INET6_ADDRSTRLEN];
	size_t n = strlen(name);
	char host[256];

	if (address_of(name, address))
		return !verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) == 1 ?
			       0 :
			       SMTP_ENOMEM;
	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n >= sizeof host)
		return SMTP_EINVAL;
	memcpy(host, name, n);
	host[n] = '\0';
	if (SSL_set_tlsext_host_name(ssl, host) != 1)
		return SMTP_ENOMEM;
	if (!verify)
		return 0;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 ? 0 : SMTP_ENOMEM;
}

static int attach(struct smtp_tls_stream *stream, const char *name)
{
	BIO *bio = BIO_new(stream->context->socket_method);

	if (!bio)
		return SMTP_ENOMEM;
	BIO_set_data(bio, stream);
	SSL_set_bio(stream->ssl, bio, bio); /* owns it now */
	if (SSL_is_server(stream->ssl)) {
		SSL_set_accept_state(stream->ssl);
		return 0;
	}
	SSL_set_connect_state(stream->ssl);
	if (!name) /* without a name there is nothing that the certificate could prove */
		return stream->context->verify ? SMTP_EINVAL : 0;
	return set_name(stream->ssl, name, stream->context->verify);
}

int smtp_tls_stream_new(struct smtp_tls_stream **out, struct smtp_tls_context *context, int fd,
			const char *name)
{
	struct smtp_tls_stream *stream = calloc(1, sizeof *stream);
	int err = SMTP_ENOMEM;

	if (!stream)
		return SMTP_ENOMEM;
	ERR_clear_error();
	stream->fd = fd;
	stream->context = smtp_tls_context_ref(context);
	stream->ssl = SSL_new(context->ssl);
	if (stream->ssl)
		err = attach(stream, name);
	ERR_clear_error();
	if (err) {
		smtp_tls_stream_free(stream);
		return err;
	}
	*out = stream;
	return 0;
}

void smtp_tls_stream_free(struct smtp_tls_stream *stream)
{
	if (!stream)
		return;
	SSL_free(stream->ssl);
	smtp_tls_context_unref(stream->context);
	free(stream);
}

static void say_failure(struct smtp_tls_stream *stream)
{
	long verified = SSL_get_verify_result(stream->ssl);

	if (verified != X509_V_OK && stream->context->verify)
		smtp_tls_say(stream->problem, "certificate refused", X509_verify_cert_error_string(verified));
	else if (ERR_peek_error())
		smtp_tls_say(stream->problem, "", smtp_tls_error_reason());
	else if (stream->socket_errno)
		smtp_tls_say(stream->problem, "", strerrordesc_np(stream->socket_errno));
	else
		smtp_tls_say(stream->problem, "", "the peer closed the connection");
	ERR_clear_error();
}

static enum smtp_tls_result result_of(struct smtp_tls_stream *stream, int returned)
{
	switch (SSL_get_error(stream->ssl, returned)) {
	case SSL_ERROR_NONE:
		return SMTP_TLS_DONE;
	case SSL_ERROR_WANT_READ:
		return SMTP_TLS_WANTS_READ;
	case SSL_ERROR_WANT_WRITE:
		return SMTP_TLS_WANTS_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return SMTP_TLS_CLOSED;
	default:
		say_failure(stream);
		return SMTP_TLS_FAILED;
	}
}

enum smtp_tls_result smtp_tls_handshake(struct smtp_tls_stream *stream)
{
	enum smtp_tls_result result;

	ERR_clear_error();
	result = result_of(stream, SSL_do_handshake(stream->ssl));
	if (result == SMTP_TLS_CLOSED) {
		say_failure(stream);
		result = SMTP_TLS_FAILED;
	}
	if (result == SMTP_TLS_DONE && stream->context->pinned &&
	    !smtp_tls_pin_matches(stream->context->pin, SSL_get0_peer_certificate(stream->ssl))) {
		smtp_tls_say(stream->problem, "certificate refused", "its key is not the pinned one");
		result = SMTP_TLS_FAILED;
	}
	return result;
}

enum smtp_tls_result smtp_tls_read(struct smtp_tls_stream *stream, void *out, size_t cap, size_t *n)
{
	ERR_clear_error();
	*n = 0;
	return result_of(stream, SSL_read_ex(stream->ssl, out, cap, n));
}

enum smtp_tls_result smtp_tls_write(struct smtp_tls_stream *stream, const void *octets, size_t count,
				    size_t *n)
{
	ERR_clear_error();
	*n = 0;
	return result_of(stream, SSL_write_ex(stream->ssl, octets, count, n));
}

void smtp_tls_shutdown(struct smtp_tls_stream *stream)
{
	ERR_clear_error();
	if (!SSL_in_init(stream->ssl) && !*stream->problem)
		(void)SSL_shutdown(stream->ssl);
	ERR_clear_error();
}

bool smtp_tls_has_pending(const struct smtp_tls_stream *stream)
{
	return SSL_has_pending(stream->ssl) == 1;
}

void smtp_tls_describe(const struct smtp_tls_stream *stream, char out[SMTP_TLS_DESCRIPTION_MAX])
{
	(void)snprintf(out, SMTP_TLS_DESCRIPTION_MAX, "%s %s", SSL_get_version(stream->ssl),
		       SSL_get_cipher_name(stream->ssl));
}

/* Only TLS 1.3 gives an exporter that is safe without further conditions (RFC 9266, 4.2). */
static size_t export_key(const struct smtp_tls_stream *stream, uint8_t out[32])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(stream->ssl) < TLS1_3_VERSION ||
	    SSL_export_keying_material(stream->ssl, out, 32, label, sizeof label - 1, NULL, 0, 1) != 1)
		return 0;
	return 32;
}

void smtp_tls_channel(const struct smtp_tls_stream *stream, struct smtp_tls_channel_store *store,
		      struct smtp_tls_channel *out)
{
	bool server = SSL_is_server(stream->ssl);
	X509 *peer = SSL_get0_peer_certificate(stream->ssl);
	X509 *servers = server ? SSL_get_certificate(stream->ssl) : peer;

	*out = (struct smtp_tls_channel){ .size = sizeof *out };
	out->exporter = (struct smtp_span){ store->exporter, export_key(stream, store->exporter) };
	if (servers)
		out->server_end_point = (struct smtp_span){
			store->end_point, smtp_tls_certificate_hash(servers, store->end_point)
		};
	if (server && peer && stream->context->verify &&
	    SSL_get_verify_result(stream->ssl) == X509_V_OK) {
		smtp_tls_certificate_identity(peer, store->identity, sizeof store->identity);
		out->client_identity = store->identity;
	}
	ERR_clear_error();
}

const char *smtp_tls_problem(const struct smtp_tls_stream *stream)
{
	return stream->problem;
}
