// Errors that are shown to people, as opposed to the page's own bugs.

/** An error that a person can act on; the message is one line. The other fields come from a server's response. */
export class APIError extends Error {
  /** status: of HTTP; retryAfter: seconds, or null; param: the field that was wrong, code: the kind of error, or null. */
  constructor(message, { status = 0, retryAfter = null, param = null, code = null } = {}) {
    super(message);
    Object.assign(this, { status, retryAfter, param, code });
  }
}
