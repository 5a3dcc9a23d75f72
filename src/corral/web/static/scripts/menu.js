/** A menu is a `<details data-menu>`; with a script, it also closes on Escape and when something else is used. */

export function closeWhenLeft(menu) {
  const leave = ({ target }) => menu.contains(target) || (menu.open = false);
  document.addEventListener("pointerdown", leave);
  document.addEventListener("focusin", leave);
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
