// The dialog for the bearer token.

const find = (id) => document.getElementById(id);

/** Ask for a token; wasRefused: the last one wasn't accepted. Resolves to the token, or null if the person gives up. */
export function askForToken(wasRefused) {
  const [dialog, form, field, error] = ["ask", "ask-form", "token", "ask-error"].map(find);
  const show = (text) => Object.assign(error, { textContent: text, hidden: !text });
  show(wasRefused ? "The server didn't accept that token." : "");
  field.value = "";

  return new Promise((resolve) => {
    const listeners = new AbortController();
    const finish = (token) => {
      listeners.abort();
      field.value = "";
      if (dialog.open) dialog.close();
      resolve(token);
    };
    const on = (element, event, act) => element.addEventListener(event, act, { signal: listeners.signal });
    on(form, "submit", (event) => {
      event.preventDefault();
      const token = field.value.trim();
      if (/^[\x21-\x7e]+$/.test(token)) return finish(token); // what a header can carry
      show(token ? "A token has no spaces and no letters beyond a to z." : "Type or paste the token.");
      field.focus();
    });
    on(find("ask-cancel"), "click", () => finish(null));
    on(dialog, "close", () => finish(null)); // Escape
    dialog.showModal();
    field.focus();
  });
}
