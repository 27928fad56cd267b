// Before anything is drawn: the theme that was chosen here, if it is not the system's own. A plain
// script, because a module would run after the first paint and the page would flash.
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
