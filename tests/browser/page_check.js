// What is wrong with this page, as a list of words: run in the browser by the tests, never served.
const problems = [];
const name = (element) =>
  element.tagName.toLowerCase() + (element.id ? "#" + element.id : "") + " '" + (element.textContent || "").trim().slice(0, 30) + "'";

// 1. Nothing is wider than the screen.
const root = document.documentElement;
if (root.scrollWidth > innerWidth) problems.push(`scrolls sideways: ${root.scrollWidth} px on ${innerWidth}`);

// 2. What a finger touches is 44 px or more; a box to tick counts with its label.
for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary")) {
  if (!element.checkVisibility() || element.classList.contains("skip")) continue;
  const box = (element.matches("[type=checkbox], [type=radio]") ? element.closest("label") : element).getBoundingClientRect();
  if (box.width < 43.5 || box.height < 43.5) problems.push(`small: ${name(element)} ${box.width}×${box.height}`);
  if (element.matches("input, select, textarea") && element.labels.length === 0) problems.push(`no label: ${name(element)}`);
}

// 3. Structure: a language, one first heading, pictures that came.
if (!["en", "zh-Hant"].includes(root.lang)) problems.push("no language");
if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
for (const image of document.images) if (!image.naturalWidth) problems.push(`no picture: ${image.src}`);

// 4. Contrast (WCAG 2.2, 1.4.3): 4.5, or 3 for large text.
const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
const light = ([red, green, blue]) => {
  const linear = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
};
const paper = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour[3] === undefined || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
for (const element of document.body.querySelectorAll("*")) {
  const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!says || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const [low, high] = [light(parse(style.color)), light(paper(element))].sort((a, b) => a - b);
  const ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) problems.push(`contrast ${ratio.toFixed(1)}: ${name(element)}`);
}
return problems;
