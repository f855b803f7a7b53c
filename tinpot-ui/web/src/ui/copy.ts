/**
 * Copies text to the clipboard. Browsers offer `navigator.clipboard` on secure pages only, so pages
 * of a server that is reached by plain HTTP copy a selection.
 */
export function toClipboard(text: string): Promise<void> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined) return clipboard.writeText(text);
  const area = document.createElement("textarea");
  const before = document.activeElement;
  area.value = text;
  area.className = "unseen";
  // A modal dialog keeps the focus inside, so the text has to be selected there.
  (document.querySelector('[role="dialog"]') ?? document.body).append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied
    ? Promise.resolve()
    : Promise.reject(new Error("the browser denies access to the clipboard"));
}
