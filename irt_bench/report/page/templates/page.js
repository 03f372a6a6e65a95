"use strict";
(() => {
  const number = (text) => { const value = parseFloat(text.replaceAll(",", "").replace("−", "-")); return Number.isNaN(value) ? null : value; };
  const save = (parts, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  const markSorted = (head, chosen) => {
    const falling = chosen.getAttribute("aria-sort") === "ascending";
    for (const each of head.cells) each.removeAttribute("aria-sort");
    chosen.setAttribute("aria-sort", falling ? "descending" : "ascending");
    return falling ? -1 : 1;
  };

  // Tables: a click on a header sorts by its column; missing values stay last.
  for (const table of document.querySelectorAll("table.sortable")) {
    const head = table.tHead.rows[0];
    head.addEventListener("click", (event) => {
      const cell = event.target.closest("th");
      if (!cell) return;
      const sign = markSorted(head, cell);
      const key = (row) => { const text = row.cells[cell.cellIndex].textContent; return cell.classList.contains("number") ? number(text) : text; };
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : sign * compare(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  }

  // Downloads of figures, in the colours that Matplotlib wrote; the page's own style does not travel with the file.
  const saveSvg = (svg, name) => {
    const copy = svg.cloneNode(true);
    copy.removeAttribute("hidden");
    copy.setAttribute("font-family", "DejaVu Sans, sans-serif");
    if (svg.classList.contains("item-curve")) {
      for (const each of copy.querySelectorAll("path, line, text")) {
        const drawn = getComputedStyle(each.id ? document.getElementById(each.id) : svg.querySelector(each.tagName));
        for (const name of ["fill", "stroke", "opacity", "stroke-width", "font-size"]) each.setAttribute(name, drawn.getPropertyValue(name));
      }
    }
    save([new XMLSerializer().serializeToString(copy)], "image/svg+xml", name);
  };
  for (const button of document.querySelectorAll(".save-svg")) {
    button.addEventListener("click", () => {
      const block = button.closest(".block");
      saveSvg(block.querySelector(".wide svg"), `${block.dataset.name}.svg`);
    });
  }

  // On paper, all tables are open.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.numbers:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of closed) each.open = false; });

  // Items: sorted, searched, chosen.
  const explore = (prefix) => {
  const part = (name) => document.getElementById(prefix + name);
  const data = JSON.parse(part("item-data").textContent);
  const table = part("item-table");
  const STEP = 50;
  // What all items begin with, up to the last slash, is left out of the table: the benchmark is the page's title.
  const upToSlash = (text) => text.slice(0, text.lastIndexOf("/") + 1);
  let common = upToSlash(data.items[0]);
  const begins = (item) => item.length > common.length && item.startsWith(common);
  while (common && !data.items.every(begins)) common = upToSlash(common.slice(0, -1));
  const columns = [
    { header: "item", get: (place) => data.items[place].slice(common.length) },
    ...data.columns.map((column) => ({ ...column, get: (place) => column.values[place] })),
    { header: "flags", get: (place) => data.flags[place] || null },
  ];
  let order = data.items.map((_, place) => place);
  let shown = STEP;
  let chosen = 0;
  const form = (value, decimals) => (value === null ? "–" : value.toFixed(decimals).replace("-", "−"));
  const withInterval = (column, place) => {
    if (!column.low || column.low[place] === null) return "";
    return `[${form(column.low[place], column.decimals)}, ${form(column.high[place], column.decimals)}]`;
  };
  const matches = () => {
    const wanted = part("item-search").value.trim().toLowerCase();
    return wanted ? order.filter((place) => data.items[place].toLowerCase().includes(wanted) || data.flags[place].toLowerCase().includes(wanted)) : order;
  };
  const cell = (column, place) => {
    const made = document.createElement("td");
    const isolated = document.createElement("bdi");
    const value = column.get(place);
    isolated.textContent = column.values ? form(value, column.decimals) : value ?? "";
    made.append(isolated);
    if (column.values) {
      made.className = "number";
      const rest = withInterval(column, place);
      if (rest) {
        const small = document.createElement("small");
        small.textContent = ` ${rest}`;
        made.append(small);
      }
    }
    return made;
  };
  const render = () => {
    const found = matches();
    table.tBodies[0].replaceChildren(...found.slice(0, shown).map((place) => {
      const row = document.createElement("tr");
      row.tabIndex = 0;
      row.dataset.place = place;
      row.setAttribute("aria-selected", place === chosen);
      row.append(...columns.map((column) => cell(column, place)));
      return row;
    }));
    part("item-count").textContent = `${Math.min(shown, found.length).toLocaleString("en")} of ${found.length.toLocaleString("en")} items`;
    part("more-items").hidden = shown >= found.length;
  };
  const across = (ability) => 195 + ability * 38.75;
  const up = (percent) => 190 - percent * 1.8;
  const path = (nodes, values) => nodes.map((ability, k) => `${across(ability).toFixed(1)} ${up(values[k]).toFixed(1)}`).join("L");
  const choose = (place) => {
    chosen = place;
    part("chosen-name").textContent = data.items[place];
    part("chosen-facts").textContent = columns.slice(1).filter((column) => column.get(place) !== null)
      .map((column) => (column.values ? `${column.header} ${form(column.get(place), column.decimals)} ${withInterval(column, place)}`.trim() : column.get(place))).join("; ");
    for (const row of table.tBodies[0].rows) row.setAttribute("aria-selected", Number(row.dataset.place) === place);
    const own = data.curves && data.curves.items[data.items[place]];
    const svg = part("item-curve");
    svg.toggleAttribute("hidden", !own);
    const against = /negative/.test(data.flags[place]);
    svg.classList.toggle("against", against);
    part("curve-against").hidden = !(own && against);
    part("curve-sure").textContent = /(^|[,;] )negative/.test(data.flags[place]) ? "goes" : "may go";
    part("save-curve").hidden = !own;
    part("curve-note").hidden = !data.curves;
    if (!own) return;
    const [mean, low, high] = own;
    const nodes = data.curves.nodes;
    part("curve-line").setAttribute("d", `M${path(nodes, mean)}`);
    part("curve-band").setAttribute("d", `M${path(nodes, high)}L${path([...nodes].reverse(), [...low].reverse())}Z`);
    const [groups, shares, lows, highs, counts] = (data.observed && data.observed[data.items[place]]) || [[], [], [], [], []];
    const within = groups.map((_, k) => k).filter((k) => Math.abs(groups[k]) <= 4);
    part("observed-shares").setAttribute("d", within.map((k) => `M${across(groups[k]).toFixed(1)} ${up(shares[k]).toFixed(1)}h0`).join(""));
    part("observed-trend").setAttribute("d", within.map((k, place) => `${place ? "L" : "M"}${across(groups[k]).toFixed(1)} ${up(shares[k]).toFixed(1)}`).join(""));
    part("observed-bars").setAttribute("d", within.map((k) => `M${across(groups[k]).toFixed(1)} ${up(lows[k]).toFixed(1)}V${up(highs[k]).toFixed(1)}`).join(""));
    part("observed-counts").textContent = counts.length ? ` (${[...new Set([Math.min(...counts), Math.max(...counts)])].join(" to ")} models each)` : "";
    part("models-rug").setAttribute("d", data.abilities.filter((value) => Math.abs(value) <= 4).map((value) => `M${across(value).toFixed(1)} 190v6`).join(""));
  };
  const head = table.tHead.rows[0];
  for (const column of columns) {
    const made = document.createElement("th");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.header;
    made.scope = "col";
    if (column.values) made.className = "number";
    made.append(button);
    head.append(made);
  }
  head.addEventListener("click", (event) => {
    const made = event.target.closest("th");
    if (!made) return;
    const column = columns[made.cellIndex];
    const sign = markSorted(head, made);
    order.sort((a, b) => { const [x, y] = [column.get(a), column.get(b)]; return (x === null || y === null ? compare(x, y) : sign * compare(x, y)) || a - b; });
    render();
  });
  const rowOf = (event) => event.target.closest("tr[data-place]");
  table.tBodies[0].addEventListener("click", (event) => { const row = rowOf(event); if (row) choose(Number(row.dataset.place)); });
  table.tBodies[0].addEventListener("keydown", (event) => {
    const row = rowOf(event);
    if (row && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(Number(row.dataset.place)); }
  });
  part("item-search").addEventListener("input", () => { shown = STEP; render(); });
  part("more-items").addEventListener("click", () => { shown += 4 * STEP; render(); });
  part("save-curve").addEventListener("click", () => saveSvg(part("item-curve"), "item-curve.svg"));
  part("save-items").addEventListener("click", () => {
    // As files.py does: a text that a spreadsheet would run gets a ' in front, and lone carriage returns go.
    const plain = (value) => { const text = value.replaceAll(/\r\n?/g, "\n"); return /^(\s*[=+\-@＝＋－＠]|[\t\n])/.test(text) ? `'${text}` : text; };
    const quoted = (value) => { const text = typeof value === "string" ? plain(value) : String(value ?? ""); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
    const heads = columns.flatMap((column) => (column.low ? [column.header, `${column.header} q05`, `${column.header} q95`] : [column.header]));
    const rows = order.map((place) => columns.flatMap((column) => (column.low ? [column.get(place), column.low[place], column.high[place]] : [column.get(place)])));
    save([[heads, ...rows].map((row) => row.map(quoted).join(",")).join("\n")], "text/csv", "items.csv");
  });
  render();
  choose(0);
  };
  for (const explorer of document.querySelectorAll(".items[data-prefix]")) explore(explorer.dataset.prefix);
})();
