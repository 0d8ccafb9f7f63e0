// The one-time code comes behind the # of the address, which no server and no proxy on the way sees.
function takeCode() {
  const given = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!given) return;
  const code = document.getElementById("code");
  if (code instanceof HTMLInputElement) {
    code.value = given;
    (document.getElementById("name") ?? document.getElementById("password"))?.focus();
  }
  history.replaceState(null, "", location.pathname);
}
takeCode();
addEventListener("hashchange", takeCode);

const password = /** @type {HTMLInputElement | null} */ (document.getElementById("password"));
const show = /** @type {HTMLButtonElement | null} */ (document.getElementById("show-password"));
if (password && show) {
  show.hidden = false;
  show.addEventListener("click", () => {
    const shown = password.type === "text";
    password.type = shown ? "password" : "text";
    show.setAttribute("aria-pressed", String(!shown));
  });
}
