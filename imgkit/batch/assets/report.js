"use strict";
(() => {
  const form = document.querySelector(".tools");
  const list = document.querySelector(".list");
  const cards = Array.from(list.children);
  const status = form.querySelector(".shown");
  const clear = form.querySelector(".clear");
  const none = document.querySelector(".none");
  const rank = { failed: 0, pending: 1, undone: 2, partly: 3, done: 4, unchanged: 5 };
  let cause = null;

  const images = cards.map((card, order) => ({
    card,
    order,
    state: card.dataset.state,
    seconds: Number(card.dataset.seconds),
    size: Number(card.dataset.size),
    name: card.querySelector(".name").textContent.toLowerCase(),
    text: card.textContent.toLowerCase(),
  }));

  const orders = {
    plan: () => 0,
    name: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
    state: (a, b) => rank[a.state] - rank[b.state],
    seconds: (a, b) => b.seconds - a.seconds,
    size: (a, b) => b.size - a.size,
  };

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(Array.from(form.querySelectorAll("[name=state]:checked"), (box) => box.value));
    let shown = 0;
    for (const { card, state, text } of images) {
      const fits =
        states.has(state) && words.every((word) => text.includes(word)) && (cause === null || card.dataset.cause === cause);
      card.hidden = !fits;
      shown += fits;
    }
    const all = images.length.toLocaleString("en");
    status.textContent = shown === images.length ? `${all} shown` : `${shown.toLocaleString("en")} of ${all} shown`;
    none.hidden = shown > 0;
    clear.hidden = shown === images.length;
  }

  function sort() {
    const compare = orders[form.elements.sort.value];
    list.append(...images.slice().sort((a, b) => compare(a, b) || a.order - b.order).map((image) => image.card));
  }

  // What many images share is stored once, and copied into a card when it is opened.
  function fill(card) {
    const body = card.querySelector(".body");
    if (card.dataset.filled) return;
    card.dataset.filled = "yes";
    const stored = card.dataset.map && document.getElementById(`map${card.dataset.map}`);
    if (stored) {
      const legend = stored.cloneNode(true);
      legend.removeAttribute("id");
      if (card.dataset.mark) {
        const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
        use.setAttribute("href", `#c${card.dataset.mark}`);
        legend.querySelector("svg").append(use);
      }
      body.prepend(legend);
      body.querySelector('dl a[href^="#map"]').closest("div").remove();
    }
    const numbers = (card.dataset.diffs || "").split(" ").filter(Boolean);
    if (numbers.length) {
      const box = document.createElement("div");
      for (const number of numbers) {
        const diff = document.getElementById(`diff${number}`).cloneNode(true);
        diff.removeAttribute("id");
        diff.className = "diff";
        diff.open = false;
        box.append(diff);
      }
      const links = body.querySelector(".changed");
      const whole = numbers.length === links.querySelectorAll("code").length;
      links.before(box);
      if (whole) links.remove();
    }
  }

  function reset() {
    cause = null;
    form.elements.text.value = "";
    for (const box of form.querySelectorAll("[name=state]")) box.checked = true;
    filter();
  }

  function reveal() {
    const card = /^#i\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!card) return;
    if (card.hidden) reset();
    card.open = true;
    card.scrollIntoView({ block: "start" });
  }

  list.addEventListener("toggle", (event) => event.target.matches(".image[open]") && fill(event.target), true);
  form.addEventListener("input", filter);
  form.elements.sort.addEventListener("change", sort);
  form.addEventListener("submit", (event) => event.preventDefault());
  clear.addEventListener("click", () => {
    reset();
    form.elements.text.focus();
  });
  for (const button of document.querySelectorAll("[data-cause]:not(.image)")) {
    button.addEventListener("click", () => {
      reset();
      cause = button.dataset.cause;
      filter();
      document.getElementById("images").scrollIntoView();
    });
  }
  addEventListener("hashchange", reveal);
  document.documentElement.classList.add("live");
  form.hidden = false;
  sort();
  filter(); // a page that is loaded again may have kept what was chosen
  reveal();
})();
