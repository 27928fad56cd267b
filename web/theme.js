// Sets the stored theme before the first paint, if it is not the theme of the system. It is a plain script,
// because a module would run after the first paint and the page would flash.
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
