/* SPDX-License-Identifier: ISC */
/* protocol.c - puts messages together, takes them apart, moves them with their descriptors. */
#include "smtpd/keeper/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsmtp/core/span.h"

int keeper_put_header(struct smtp_buf *message, const struct keeper_header *header)
{
	return smtp_buf_append(message, header, sizeof *header);
}

int keeper_put(struct smtp_buf *message, struct smtp_span field)
{
	uint32_t n = (uint32_t)field.n;
	int err;

	if (field.n > KEEPER_MESSAGE_MAX)
		return SMTP_ETOOLONG;
	err = smtp_buf_append(message, &n, sizeof n);
	return err == 0 ? smtp_buf_append_span(message, field) : err;
}

static int take(struct smtp_span *rest, void *out, size_t n)
{
	if (rest->n < n)
		return SMTP_EPROTO;
	memcpy(out, rest->p, n);
	*rest = smtp_span_slice(*rest, n, rest->n - n);
	return 0;
}

int keeper_take_header(struct smtp_span *rest, struct keeper_header *out)
{
	return take(rest, out, sizeof *out);
}

int keeper_take(struct smtp_span *rest, struct smtp_span *field)
{
	uint32_t n;

	if (take(rest, &n, sizeof n) != 0 || n > rest->n)
		return SMTP_EPROTO;
	*field = smtp_span_slice(*rest, 0, n);
	*rest = smtp_span_slice(*rest, n, rest->n - n);
	return 0;
}

union descriptor_space {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

int keeper_send(int socket_fd, struct smtp_span message, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)message.p, message.n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union descriptor_space space;
	struct cmsghdr *c;

	if (fd >= 0) {
		memset(&space, 0, sizeof space);
		msg.msg_control = space.room;
		msg.msg_controllen = sizeof space.room;
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	if (sendmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? SMTP_EBUSY : SMTP_ECLOSED;
}

/** All descriptors that came are either given or closed. */
static int take_descriptors(struct msghdr *msg)
{
	struct cmsghdr *c;
	int fd = -1;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (fd >= 0)
			(void)close(fd);
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	}
	return fd;
}

int keeper_receive(int socket_fd, uint8_t *out, size_t *n, int *fd)
{
	struct iovec iov = { out, KEEPER_MESSAGE_MAX };
	union descriptor_space space;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space.room,
			      .msg_controllen = sizeof space.room };
	ssize_t got = recvmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? SMTP_EBUSY : SMTP_ECLOSED;
	if (got == 0)
		return SMTP_ECLOSED;
	*fd = take_descriptors(&msg);
	*n = (size_t)got;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
		return SMTP_EPROTO;
	}
	return 0;
}
