// What the page tells people, as opposed to its own mistakes.

/** Something a person can act on; the message is one line. The rest comes from the server, where it was the server. */
export class Refusal extends Error {
  /** status: of HTTP; retryAfter: seconds, or null; param: the field that was wrong, or null. */
  constructor(message, { status = 0, retryAfter = null, param = null } = {}) {
    super(message);
    Object.assign(this, { status, retryAfter, param });
  }
}
