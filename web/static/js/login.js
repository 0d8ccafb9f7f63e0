// The part of an address after # never reaches the server: put it into the form, so that a link to a line of a log
// still leads there after sign-in.
const next = /** @type {HTMLInputElement | null} */ (document.getElementById("next"));
if (next && /^#[A-Za-z0-9-]+$/.test(location.hash)) next.value += location.hash;
