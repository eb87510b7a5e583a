// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// problem is a failure as the outside sees it: a status, a code for programs and
// a sentence for people that says what to do. There are no others than these;
// everything else is errInternal, and its cause stays in the log.
type problem struct {
	status  int
	code    string
	message string
}

func (p *problem) Error() string { return p.code }

// The public failures.
var (
	errMalformed   = &problem{http.StatusBadRequest, "malformed", "The request is not of the form that the server expects. Reload the page or update the program."}
	errTooLarge    = &problem{http.StatusRequestEntityTooLarge, "too_large", "The request is too large."}
	errNoRoute     = &problem{http.StatusNotFound, "no_route", "There is nothing at this address."}
	errCrossOrigin = &problem{http.StatusForbidden, "cross_origin", "The request came from another site and was refused."}
	errSlowDown    = &problem{http.StatusTooManyRequests, "slow_down", "Too many requests. Wait a moment and try again."}
	errInternal    = &problem{http.StatusInternalServerError, "internal", "Something went wrong at the server. Try again in a moment."}

	errSignedOut   = &problem{http.StatusUnauthorized, "signed_out", "You are signed out. Sign in again."}
	errBrowserOnly = &problem{http.StatusForbidden, "browser_only", "A terminal can't change keys or delete the account. Do it in the browser."}

	errCeremony        = &problem{http.StatusConflict, "ceremony_expired", "This took too long or was done already. Start again."}
	errPasskeyUnknown  = &problem{http.StatusForbidden, "passkey_unknown", "This passkey belongs to no account here. Use another one or the recovery kit."}
	errPasskeyRefused  = &problem{http.StatusForbidden, "passkey_refused", "The passkey's answer could not be checked. Try again."}
	errPasskeyCopied   = &problem{http.StatusForbidden, "passkey_copied", "This passkey seems to have been copied, so it was refused. Use another one or the recovery kit."}
	errPRFLeaked       = &problem{http.StatusUnprocessableEntity, "prf_leaked", "The page tried to send a secret of the passkey to the server. Nothing was kept. Update the page and make a new passkey."}
	errRecoveryRefused = &problem{http.StatusForbidden, "recovery_refused", "This recovery kit opens no account here. Check its groups."}

	errWrapsMissing = &problem{http.StatusUnprocessableEntity, "wraps_missing", "An account needs a recovery kit and a second way to open it."}
	errWrapRefused  = &problem{http.StatusUnprocessableEntity, "wrap_refused", "The key to store is not of a form that could ever open."}
	errLastWayIn    = &problem{http.StatusConflict, "last_way_in", "This is needed to open your chats. Add another way in before you remove it."}
	errTooMany      = &problem{http.StatusConflict, "too_many", "There are too many of these. Remove one first."}
	errTooManyLive  = &problem{http.StatusTooManyRequests, "too_many", "Too many devices are connected at once. Close one and try again."}
	errPasskeyTaken = &problem{http.StatusConflict, "passkey_taken", "This passkey is in use already."}

	errSessionUnknown = &problem{http.StatusNotFound, "session_unknown", "This device is not signed in any more."}
	errPasskeyGone    = &problem{http.StatusNotFound, "passkey_unknown", "This passkey is not there any more."}
	errWrapUnknown    = &problem{http.StatusNotFound, "wrap_unknown", "This key is not there any more."}

	errRecordRefused = &problem{http.StatusUnprocessableEntity, "record_refused", "A record is not of the form that an account may store."}
	errRecordExists  = &problem{http.StatusConflict, "record_exists", "Another record is in this place already."}
	errFeedDiverged  = &problem{http.StatusConflict, "feed_diverged", "The server's history is not the one that this device knows. Nothing was changed."}
	errAccountFull   = &problem{http.StatusRequestEntityTooLarge, "account_full", "The account's storage is full. Delete some chats and try again."}

	errLinkUnknown = &problem{http.StatusNotFound, "link_unknown", "This link is not valid any more. Run the command again."}
	errLinkUsed    = &problem{http.StatusConflict, "link_used", "This link was used already. Run the command again."}

	errTokensOff    = &problem{http.StatusNotFound, "tokens_off", "This service takes no tokens. Send the message without one."}
	errGuestsOff    = &problem{http.StatusForbidden, "guests_off", "This service answers people with an account. Sign in, or make one."}
	errDayUnknown   = &problem{http.StatusConflict, "day_unknown", "There are tokens for today only, and from noon UTC on for tomorrow. Set this device's clock and try again."}
	errBatchRefused = &problem{http.StatusBadRequest, "batch_refused", "These tokens can't be signed. Make new ones with the day's key, 20 at most, no two alike."}
	// Three sentences for one thing that programs have to know.
	errAllowanceUsed = &problem{http.StatusTooManyRequests, "allowance_used", "Your plan has no more messages for this day. Wait for the next, or become a member."}
	errGuestUsed     = &problem{http.StatusTooManyRequests, "allowance_used", "There are no more messages without an account for this day. Make an account, or wait for the next day."}
	errFairUse       = &problem{http.StatusTooManyRequests, "allowance_used", "That were very many messages within an hour. Wait a moment for more."}

	errVoucherMistyped = &problem{http.StatusUnprocessableEntity, "voucher_mistyped", "This is not a code as it was given to you. Check it letter by letter."}
	errVoucherUnknown  = &problem{http.StatusNotFound, "voucher_unknown", "This code is not known here, or too old. Ask whoever gave it to you."}
	errVoucherUsed     = &problem{http.StatusConflict, "voucher_used", "This code was used already. If you did it just now, your plan shows its days."}
	errBillingOff      = &problem{http.StatusNotFound, "billing_off", "This service takes no cards. Use a code, or ask whoever runs it for a plan."}
	errBillingAway     = &problem{http.StatusServiceUnavailable, "billing_away", "The payment service can't be reached. Nothing was charged. Try again in a moment."}
	errPaidAlready     = &problem{http.StatusConflict, "paid_already", "Your plan is paid by card already, and was not charged again. Open the payment page to change it."}
	errNoCard          = &problem{http.StatusConflict, "no_card", "Your plan is not paid by card, so there is nothing to change."}
	errForged          = &problem{http.StatusBadRequest, "forged", "The signature doesn't fit. Compare the webhook's signing secret with the one at Stripe, and this server's clock."}
	errPaidByCard      = &problem{http.StatusConflict, "paid_by_card", "Your plan is paid by card. Cancel that first, and use the code when the paid days are over: it stays good."}
)

// public returns what the outside is told of an error.
func public(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	return errInternal
}

// translate gives failures of the store their public names: want holds those
// that can happen at this place.
func translate(err error, want map[error]*problem) error {
	for from, to := range want {
		if errors.Is(err, from) {
			return to
		}
	}
	return err
}

// checkWrap refuses wraps that no one could open, whatever the secret.
func checkWrap(w vault.Wrap, kinds ...string) error {
	for _, k := range kinds {
		if w.Kind == k {
			if err := w.Check(); err != nil {
				return fmt.Errorf("%w: %w", errWrapRefused, err)
			}
			return nil
		}
	}
	return errWrapRefused
}

// accountGone: the account was deleted between the session's check and now.
var accountGone = map[error]*problem{store.ErrNotFound: errSignedOut}

var putWrapErrors = map[error]*problem{
	store.ErrNotFound:  errWrapRefused,
	store.ErrExists:    errWrapRefused,
	store.ErrTooMany:   errTooMany,
	store.ErrLastWayIn: errLastWayIn,
}
