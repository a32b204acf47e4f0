/* SPDX-License-Identifier: ISC */
/* smtp.h - all of libsmtp. */
#ifndef SMTP_SMTP_H
#define SMTP_SMTP_H

#include <smtp/accounts.h>
#include <smtp/address.h>
#include <smtp/base.h>
#include <smtp/client.h>
#include <smtp/client_session.h>
#include <smtp/dkim.h>
#include <smtp/envelope.h>
#include <smtp/maildir.h>
#include <smtp/middleware.h>
#include <smtp/recorder.h>
#include <smtp/network.h>
#include <smtp/reply.h>
#include <smtp/sasl.h>
#include <smtp/server.h>
#include <smtp/server_session.h>
#include <smtp/spool.h>
#include <smtp/url.h>
#include <smtp/vrfy.h>

#endif
