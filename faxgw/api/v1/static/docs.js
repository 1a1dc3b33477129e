"use strict";
// Search in the page, and trying out what only looks. The token stays in its field.
const find = document.getElementById("find");
const blocks = [...document.querySelectorAll("article, .model")];
const words = new Map(blocks.map((block) => [block, block.textContent.toLowerCase()]));
const links = new Map([...document.querySelectorAll("nav li a")].map((link) => [link.hash.slice(1), link]));

find.addEventListener("input", () => {
  const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const block of blocks) {
    const fits = wanted.every((word) => words.get(block).includes(word));
    block.hidden = !fits;
    shown += fits;
    const link = links.get(block.id);
    if (link) link.parentElement.hidden = !fits;
  }
  document.getElementById("nothing").hidden = shown > 0;
});

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); find.focus(); find.select(); }
  if (event.key === "Escape" && document.activeElement === find) {
    find.value = ""; find.dispatchEvent(new Event("input")); document.getElementById("main").focus();
  }
});

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const link = links.get(entry.target.id);
    if (!link || !entry.isIntersecting) continue;
    for (const other of links.values()) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "location");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const block of blocks) seen.observe(block);

document.getElementById("sign").hidden = false;
for (const article of document.querySelectorAll('article[data-method="get"]')) {
  if (article.id === "streamEvents") continue;
  const form = document.createElement("form");
  form.className = "try";
  const names = [...article.dataset.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  for (const name of names) form.append(field(name));
  form.append(field("query", "limit=5"));
  const go = document.createElement("button");
  go.textContent = "Try it";
  form.append(go);
  const got = document.createElement("div");
  got.className = "got";
  got.setAttribute("aria-live", "polite");
  article.append(form, got);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    let path = article.dataset.path;
    for (const name of names) path = path.replace(`{${name}}`, encodeURIComponent(form.elements[name].value));
    const query = form.elements.query.value.trim();
    ask(query ? `${path}?${query}` : path, got);
  });
}

function field(name, hint = "") {
  const label = document.createElement("label");
  label.textContent = name;
  const input = document.createElement("input");
  input.name = name;
  input.placeholder = hint;
  input.autocomplete = "off";
  label.append(input);
  return label;
}

async function ask(path, got) {
  got.replaceChildren("…");
  const token = document.getElementById("token").value.trim();
  try {
    const answer = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {}, credentials: "omit" });
    const kind = answer.headers.get("Content-Type") || "";
    const line = document.createElement("h4");
    line.textContent = `${answer.status} ${kind}`;
    const shown = document.createElement("pre");
    shown.tabIndex = 0;
    if (kind.includes("json")) shown.textContent = JSON.stringify(await answer.json(), null, 2);
    else if (kind.startsWith("image/png")) {
      const picture = new Image();
      picture.alt = "The page";
      picture.src = URL.createObjectURL(await answer.blob());
      got.replaceChildren(line, picture);
      return;
    } else shown.textContent = `${(await answer.blob()).size} octets`;
    got.replaceChildren(line, shown);
  } catch (error) {
    got.replaceChildren(`No answer: ${error.message}`);
  }
}
