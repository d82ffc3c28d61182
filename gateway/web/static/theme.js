// The colours that were chosen on this browser, before anything is drawn: no page flashes in others first.
{
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
}
