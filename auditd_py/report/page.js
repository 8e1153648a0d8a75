"use strict";
// Draws the charts of the page from the counts in #data. Labels come from logs, which means from
// anybody: they are only ever set as text.
(() => {
  const OTHER = "(other)";
  const data = JSON.parse(document.getElementById("data").textContent);
  const { rows: facets, values, step, offset } = data.facets;
  const FACETS = ["node", "user", "type", "key"];
  const SHOWN_BARS = 20, SHOWN_SERIES = 8, SHOWN_PAIRS = 80, SHOWN_SIDE = 25, SHOWN_ROWS = 100;
  const chosen = { node: "", user: "", type: "", key: "", from: null, to: null };
  const number = (n) => n.toLocaleString("en-US");
  const timed = facets.some((row) => row[0] !== null);
  let first = Infinity, last = -Infinity;
  for (const [bucket] of facets) {
    if (bucket !== null) { first = Math.min(first, bucket); last = Math.max(last, bucket); }
  }

  // --- elements -------------------------------------------------------------------------------
  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "rect", "path", "line", "text", "title"].includes(name);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === false) continue;
      made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const tip = make("div", { id: "tip", role: "status", hidden: true });
  document.body.append(tip);
  function tell(element, text) {
    const show = (x, y) => {
      tip.textContent = text;
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
      tip.style.top = `${y + 20 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 16}px`;
    };
    element.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
    element.addEventListener("pointerleave", () => { tip.hidden = true; });
    element.addEventListener("focus", () => {
      const box = element.getBoundingClientRect();
      show(box.left, box.bottom - 10);
    });
    element.addEventListener("blur", () => { tip.hidden = true; });
    return element;
  }

  // --- time -----------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  function when(bucket, precise = true) {
    const at = new Date(bucket * step * 1000);  // already local: shown as if it were UTC
    const day = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
    if (step >= 86400) return day;
    const clock = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    return `${day} ${clock}${precise && step < 60 ? `:${two(at.getUTCSeconds())}` : ""}`;
  }
  function stepWords() {
    for (const [seconds, name] of [[604800, "week"], [86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
      if (step % seconds === 0) return step === seconds ? name : `${step / seconds} ${name}s`;
    }
    return "";
  }
  const zone = `UTC${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 3600))}:${two(Math.floor(Math.abs(offset) / 60) % 60)}`;

  // --- what is chosen -------------------------------------------------------------------------
  const keySets = values.key.map((keys) => new Set(keys ? keys.split("\x01") : []));
  let passes = new Uint8Array(facets.length).fill(1);
  function choose() {
    const place = {};
    for (const name of ["node", "user", "type"]) {
      place[name] = chosen[name] ? values[name].indexOf(chosen[name]) : -1;
    }
    passes = Uint8Array.from(facets, (row, at) => inTime(row[0]) && facetPasses(row, place) ? 1 : 0);
  }
  const inTime = (bucket) => chosen.from === null || (bucket >= chosen.from && bucket <= chosen.to);
  function facetPasses(row, place) {
    return (place.node < 0 || row[1] === place.node) && (place.user < 0 || row[2] === place.user)
      && (place.type < 0 || row[3] === place.type) && (!chosen.key || keySets[row[4]].has(chosen.key));
  }
  const isChosen = () => FACETS.some((name) => chosen[name]) || chosen.from !== null;

  function totals(chart) {
    const width = chart.names.length;
    const found = new Map();
    for (const cell of chart.cells) {
      if (!passes[cell[width]]) continue;
      const id = width === 1 ? cell[0] : cell[0] * 65536 + cell[1];
      found.set(id, (found.get(id) || 0) + cell[width + 1]);
    }
    const rows = [...found].map(([id, count]) => ({
      labels: width === 1 ? [chart.labels[0][id]]
        : [chart.labels[0][Math.floor(id / 65536)], chart.labels[1][id % 65536]],
      count,
    }));
    const rest = (row) => row.labels.includes(OTHER) ? 1 : 0;
    return rows.sort((a, b) => rest(a) - rest(b) || b.count - a.count || (a.labels.join() < b.labels.join() ? -1 : 1));
  }

  // --- bars -----------------------------------------------------------------------------------
  function drawBars(chart, into, rows) {
    const most = Math.max(...rows.map((row) => row.count));
    const shown = rows.slice(0, chart.more ? 1000 : SHOWN_BARS);
    const list = make("ol", { class: "bars", "aria-label": `${chart.title}, the most frequent first` });
    for (const { labels: [label], count } of shown) {
      const fill = make("span", { class: "fill", "aria-hidden": "true" });
      fill.style.width = `calc((100% - 4.5rem) * ${count / most})`;
      list.append(tell(
        make("li", { class: label === OTHER ? "rest" : null, tabindex: "0" },
          make("span", { class: "name" }, label),
          make("span", { class: "track" }, fill, make("span", { class: "count" }, number(count)))),
        `${label}\n${number(count)} ${chart.unit}`));
    }
    into.append(list);
    if (rows.length > SHOWN_BARS) {
      const more = make("button", { type: "button", "aria-expanded": String(Boolean(chart.more)) },
        chart.more ? "Show fewer" : `Show ${number(Math.min(rows.length, 1000) - SHOWN_BARS)} more`);
      more.addEventListener("click", () => { chart.more = !chart.more; drawOne(chart); });
      into.append(more);
    }
  }

  // --- a series over time ---------------------------------------------------------------------
  const colour = (name, at) => name === OTHER ? "rest-colour" : name === "failed" ? "bad" : name === "ok" ? "f0" : `f${at % 8}`;
  function drawSeries(chart, into, rows) {
    // the strip shows the whole period, what is chosen of it is marked: so it can be chosen anew
    const kept = [chosen.from, chosen.to];
    chosen.from = chosen.to = null;
    choose();
    const all = totals(chart);
    const names = all.slice(0, all.length > SHOWN_SERIES ? SHOWN_SERIES - 1 : SHOWN_SERIES).map((row) => row.labels[0]);
    if (all.length > SHOWN_SERIES) names.push(OTHER);
    const place = chart.labels[0].map((label) => names.indexOf(label) < 0 ? names.length - 1 : names.indexOf(label));
    const length = last - first + 1;
    const sums = names.map(() => new Float64Array(length));
    for (const [label, facet, count] of chart.cells) {
      if (passes[facet]) sums[place[label]][facets[facet][0] - first] += count;
    }
    [chosen.from, chosen.to] = kept;
    choose();
    const width = Math.max(280, into.clientWidth), height = 230, left = 46, bottom = 24, top = 8;
    const high = Math.max(1, ...sums[0] ? Array.from({ length }, (_, at) => sums.reduce((sum, row) => sum + row[at], 0)) : [1]);
    const unit = niceStep(high);
    const ceiling = Math.ceil(high / unit) * unit;
    const x = (at) => left + (width - left - 4) * at / length;
    const y = (value) => height - bottom - (height - bottom - top) * value / ceiling;
    const svg = make("svg", {
      viewBox: `0 0 ${width} ${height}`, class: "timed", role: "img",
      "aria-label": `${chart.title}: ${chart.unit} in each ${stepWords()}; the table below has the numbers`,
    });
    for (let value = 0; value <= ceiling; value += unit) {
      svg.append(make("line", { class: "grid", x1: left, x2: width - 4, y1: y(value), y2: y(value) }),
        make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, compact(value)));
    }
    for (let at = 0; at < length; at += 1) {
      let below = 0;
      const gap = x(1) - x(0) > 4 ? 1 : 0;
      names.forEach((name, one) => {
        const count = sums[one][at];
        if (!count) return;
        svg.append(make("rect", {
          class: colour(name, one), x: x(at), y: y(below + count),
          width: Math.max(x(at + 1) - x(at) - gap, 0.6), height: y(below) - y(below + count),
        }));
        below += count;
      });
    }
    timeTicks(svg, x, length, height - 6, width);
    if (chosen.from !== null) {
      svg.append(make("rect", {
        class: "brush", x: x(chosen.from - first), y: top,
        width: x(chosen.to - first + 1) - x(chosen.from - first), height: height - bottom - top,
      }));
    }
    const bucketAt = (event) => {
      const box = svg.getBoundingClientRect();
      const at = Math.floor(((event.clientX - box.left) * width / box.width - left) / (width - left - 4) * length);
      return first + Math.max(0, Math.min(length - 1, at));
    };
    brushes(svg, bucketAt, x, top, height - bottom - top);
    svg.addEventListener("pointermove", (event) => {
      const at = bucketAt(event) - first;
      const lines = names.map((name, one) => [name, sums[one][at]]).filter(([, count]) => count)
        .map(([name, count]) => `${name}: ${number(count)}`);
      tip.textContent = [when(first + at), ...lines].join("\n") + (lines.length ? "" : `\nno ${chart.unit}`);
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4))}px`;
      tip.style.top = `${Math.max(4, event.clientY - box.height - 12)}px`;
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    into.append(svg);
    if (names.length > 1 || names[0] !== chart.unit) {
      into.append(make("ul", { class: "legend" }, ...names.map((name, one) =>
        make("li", {}, make("i", { class: colour(name, one), "aria-hidden": "true" }), name))));
    }
    chart.columns = { names, sums, length };
    void rows;
  }
  function niceStep(high) {
    const rough = Math.max(1, high / 4);
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  }
  function compact(value) {
    for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (value >= size) return `${Number((value / size).toFixed(1))}${letter}`;
    }
    return String(value);
  }
  function timeTicks(svg, x, length, y, width) {
    const room = step >= 86400 ? 90 : 130;
    const every = Math.max(1, Math.ceil(room / (x(1) - x(0))));
    for (let at = 0; at < length && (at === 0 || x(at) + room <= width); at += every) {
      svg.append(make("text", { x: x(at), y }, when(first + at, length * step < 3600)));
    }
  }
  function brushes(svg, bucketAt, x, top, height) {
    let begun = null, mark = null;
    const ends = (event) => {
      const now = bucketAt(event);
      return [Math.min(begun, now), Math.max(begun, now)];
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      begun = bucketAt(event);
      svg.setPointerCapture(event.pointerId);
      mark = make("rect", { class: "brush", x: 0, y: top, width: 0, height });
      svg.append(mark);
    });
    svg.addEventListener("pointermove", (event) => {
      if (begun === null) return;
      const [from, to] = ends(event);
      mark.setAttribute("x", x(from - first));
      mark.setAttribute("width", x(to - first + 1) - x(from - first));
    });
    svg.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const [from, to] = ends(event);
      const clicked = from === to && chosen.from !== null;
      begun = null;
      setTime(clicked ? null : from, clicked ? null : to);
    });
    svg.addEventListener("pointercancel", () => { begun = null; if (mark) mark.remove(); });
  }

  // --- relations ------------------------------------------------------------------------------
  function drawRelations(chart, into, every) {
    const taken = [], sides = [new Map(), new Map()];
    for (const row of every) {
      if (taken.length >= SHOWN_PAIRS) break;
      if (chart.only && row.labels[chart.only.side] !== chart.only.label) continue;
      if (!row.labels.every((label, side) => sides[side].has(label) || sides[side].size < SHOWN_SIDE)) continue;
      taken.push(row);
      row.labels.forEach((label, side) => sides[side].set(label, (sides[side].get(label) || 0) + row.count));
    }
    const total = taken.reduce((sum, row) => sum + row.count, 0);
    const width = Math.max(280, into.clientWidth);
    const longest = [0, 1].map((side) => Math.max(...[...sides[side].keys()].map((name) => name.length)));
    const narrow = width < 560;
    const margin = [0, 1].map((side) => Math.min(longest[side] * 7 + 62, width * (narrow ? 0.36 : 0.32)));
    const room = 22, bands = Math.max(120, Math.max(sides[0].size, sides[1].size) * 14);
    const boxes = sides.map((side) => {
      let at = 24;
      const found = new Map();
      for (const [name, count] of [...side].sort((a, b) => b[1] - a[1])) {
        const thick = Math.max(1.5, count / total * bands);
        const height = Math.max(room, thick + 4);
        found.set(name, { y: at + (height - thick) / 2, thick, used: 0, count });
        at += height;
      }
      return { found, height: at };
    });
    const height = Math.max(boxes[0].height, boxes[1].height) + 4;
    const xs = [margin[0], width - margin[1] - 10];
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": `${chart.title}: relations of ${chart.names[0]} and ${chart.names[1]}; the table below has the numbers` });
    const colours = new Map([...boxes[0].found.keys()].map((name, at) => [name, colour(name, at)]));
    const order = [...boxes[1].found.keys()];
    for (const row of [...taken].sort((a, b) => order.indexOf(a.labels[1]) - order.indexOf(b.labels[1]))) {
      const [from, to] = row.labels.map((label, side) => boxes[side].found.get(label));
      const thick = Math.max(1, row.count / total * bands);
      const a = from.y + from.used, b = to.y + to.used;
      from.used += thick; to.used += thick;
      const x0 = xs[0] + 10, x1 = xs[1], middle = (x0 + x1) / 2;
      const band = make("path", {
        class: `band ${colours.get(row.labels[0])}`,
        d: `M${x0} ${a}C${middle} ${a} ${middle} ${b} ${x1} ${b}V${b + thick}C${middle} ${b + thick} ${middle} ${a + thick} ${x0} ${a + thick}Z`,
      });
      row.band = tell(band, `${row.labels.join(" → ")}\n${number(row.count)} ${chart.unit}`);
      svg.append(band);
    }
    boxes.forEach(({ found }, side) => {
      svg.append(make("text", { x: side ? xs[1] + 16 : xs[0] - 6, y: 14, "text-anchor": side ? "start" : "end" }, chart.names[side]));
      for (const [name, box] of found) {
        const label = make("text", { class: "name", x: side ? xs[1] + 16 : xs[0] - 6, y: box.y + box.thick / 2 + 4, "text-anchor": side ? "start" : "end" });
        const node = make("g", { class: "node", tabindex: "0", role: "button",
          "aria-pressed": String(Boolean(chart.only && chart.only.side === side && chart.only.label === name)),
          "aria-label": `${chart.names[side]} ${name}, ${number(box.count)} ${chart.unit}` },
        make("rect", { class: "box", x: xs[side], y: box.y, width: 10, height: box.thick }), label);
        const fits = Math.floor((margin[side] - 20) / 7) - 1 - number(box.count).length;
        label.append(`${middleCut(name, Math.max(5, fits))} ${number(box.count)}`);
        const light = (on) => {
          svg.classList.toggle("lit", on);
          for (const row of taken) row.band.classList.toggle("on", on && row.labels[side] === name);
        };
        node.addEventListener("pointerenter", () => light(true));
        node.addEventListener("pointerleave", () => light(false));
        node.addEventListener("focus", () => light(true));
        node.addEventListener("blur", () => light(false));
        const press = () => {
          const same = chart.only && chart.only.side === side && chart.only.label === name;
          chart.only = same ? null : { side, label: name };
          drawOne(chart);
        };
        node.addEventListener("click", press);
        node.addEventListener("keydown", (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); }
        });
        svg.append(tell(node, `${name}\n${number(box.count)} ${chart.unit}`));
      }
    });
    into.append(svg);
    const left = every.length - taken.length;
    if (chart.only) {
      const back = make("button", { type: "button" }, "Show all relations");
      back.addEventListener("click", () => { chart.only = null; drawOne(chart); });
      into.append(back);
    } else if (left > 0) {
      into.append(make("p", { class: "note" }, `${number(left)} rarer pairs are not drawn; the table has them.`));
    }
  }
  function middleCut(label, width) {
    if (label.length <= width) return label;
    const head = Math.floor((width - 1) / 3);
    return `${label.slice(0, head)}…${label.slice(label.length - (width - 1 - head))}`;
  }

  // --- tables ---------------------------------------------------------------------------------
  function drawTable(chart, into, headings, rows, numbers) {
    const sorted = chart.sort ? [...rows].sort((a, b) => {
      const [p, q] = [a[chart.sort.at], b[chart.sort.at]];
      return chart.sort.way * (typeof p === "number" ? p - q : String(p).localeCompare(String(q), "en", { numeric: true }));
    }) : rows;
    const shown = sorted.slice(0, chart.all ? 20000 : SHOWN_ROWS);
    const head = make("tr");
    headings.forEach((name, at) => {
      const way = chart.sort && chart.sort.at === at ? chart.sort.way : 0;
      const sort = make("button", { type: "button" }, name + (way ? way > 0 ? " ▲" : " ▼" : ""));
      sort.addEventListener("click", () => {
        chart.sort = { at, way: way ? -way : numbers.has(at) ? -1 : 1 };
        drawOne(chart);
      });
      head.append(make("th", { scope: "col", class: numbers.has(at) ? "number" : null,
        "aria-sort": way ? way > 0 ? "ascending" : "descending" : "none" }, sort));
    });
    const body = make("tbody");
    for (const row of shown) {
      body.append(make("tr", {}, ...row.map((value, at) => make("td",
        { class: numbers.has(at) ? "number" : String(value).length < 24 ? "short" : null },
        numbers.has(at) ? number(value) : String(value)))));
    }
    into.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${chart.title}` },
      make("table", {}, make("caption", { class: "note" }, `${number(rows.length)} rows`), make("thead", {}, head), body)));
    if (rows.length > shown.length || chart.all) {
      const all = make("button", { type: "button" }, chart.all ? "Show the first rows only" : `Show all ${number(rows.length)} rows`);
      all.addEventListener("click", () => { chart.all = !chart.all; drawOne(chart); });
      into.append(all);
    }
  }
  function tableOf(chart, rows) {
    if (chart.kind !== "series") {
      const all = rows.filter((row) => !chart.only || row.labels[chart.only.side] === chart.only.label);
      return [[...chart.names, chart.unit], all.map((row) => [...row.labels, row.count]), new Set([chart.names.length])];
    }
    const { names, sums, length } = chart.columns;
    const lines = [];
    for (let at = 0; at < length; at += 1) {
      if (inTime(first + at) && sums.some((row) => row[at])) lines.push([when(first + at), ...sums.map((row) => row[at])]);
    }
    return [["time", ...names], lines, new Set(names.map((_, at) => at + 1))];
  }

  // --- one item -------------------------------------------------------------------------------
  function drawOne(item) {
    const into = item.section.querySelector(".drawn");
    const held = document.activeElement && into.contains(document.activeElement)
      ? [...into.querySelectorAll("button, [tabindex], summary")].indexOf(document.activeElement) : -1;
    const open = into.querySelector("details") ? into.querySelector("details").open : false;
    tip.hidden = true;
    into.replaceChildren();
    if (item.kind === "figures") {
      into.append(make("dl", { class: "figures" }, ...item.rows.map(([name, value]) =>
        make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
      return;
    }
    if (item.kind === "table") {
      const rows = item.rows.filter(([facet]) => facet < 0 || passes[facet]).map(([, row]) => row);
      if (rows.length) drawTable(item, into, item.names, rows, new Set());
      else into.append(make("p", { class: "empty" }, "Nothing of this kind."));
    } else {
      const rows = totals(item);
      const sum = rows.reduce((total, row) => total + row.count, 0);
      into.append(make("p", { class: "sub" }, `${number(sum)} ${item.unit}${item.kind === "series" ? ` in steps of ${/^\d/.test(stepWords()) ? stepWords() : `one ${stepWords()}`}` : `, ${number(rows.length)} different`}`));
      if (rows.length || (item.kind === "series" && item.cells.length)) {
        ({ bars: drawBars, series: drawSeries, relations: drawRelations })[item.kind](item, into, rows);
        const [headings, lines, numbers] = tableOf(item, rows);
        const details = make("details", {}, make("summary", {}, "Table"));
        details.open = open;
        into.append(details);
        const fill = () => {
          while (details.children.length > 1) details.lastChild.remove();
          drawTable(item, details, headings, lines, numbers);
        };
        if (open) fill();
        details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) fill(); });
      } else {
        into.append(make("p", { class: "empty" }, isChosen() ? "None with what is chosen above." : "None in this period."));
      }
    }
    if (held >= 0) {
      const again = into.querySelectorAll("button, [tabindex], summary")[held];
      if (again) again.focus();
    }
  }

  // --- controls -------------------------------------------------------------------------------
  const state = make("p", { class: "state", role: "status" });
  const ranges = [];
  function draw() {
    choose();
    for (const item of data.items) if (item.kind !== "figures") drawOne(item);
    for (const select of document.querySelectorAll(".bar select[data-facet]")) {
      select.value = chosen[select.dataset.facet];
      select.classList.toggle("set", Boolean(select.value));
    }
    if (ranges.length) {
      ranges[0].value = chosen.from === null ? first : chosen.from;
      ranges[1].value = chosen.to === null ? last : chosen.to;
      ranges[0].setAttribute("aria-valuetext", when(Number(ranges[0].value)));
      ranges[1].setAttribute("aria-valuetext", when(Number(ranges[1].value)));
    }
    const words = FACETS.filter((name) => chosen[name]).map((name) => `${name} ${chosen[name]}`);
    if (chosen.from !== null) words.push(`${when(chosen.from)} to ${when(chosen.to + 1)}`);
    state.textContent = words.length ? `Only ${words.join(", ")}.` : timed ? `Times are ${zone}.` : "";
    const reset = document.getElementById("reset");
    if (reset) reset.disabled = !isChosen();
  }
  function setTime(from, to) {
    chosen.from = from;
    chosen.to = to;
    if (from === first && to === last) chosen.from = chosen.to = null;
    draw();
  }
  function options(name) {
    const all = name === "key" ? [...new Set(keySets.flatMap((set) => [...set]))] : values[name].filter((value) => value);
    return all.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }
  function controls() {
    const bar = make("div", { class: "bar", role: "group", "aria-label": "What the charts show" });
    let any = false;
    for (const name of FACETS) {
      const found = options(name);
      if (found.length < (name === "key" ? 1 : 2)) continue;
      any = true;
      const select = make("select", { "data-facet": name, "aria-label": name }, make("option", { value: "" }, "all"),
        ...found.map((value) => make("option", { value }, middleCut(value, 60))));
      select.addEventListener("change", () => { chosen[name] = select.value; draw(); });
      bar.append(make("label", {}, name, select));
    }
    if (any || (timed && last > first)) {
      const reset = make("button", { type: "button", id: "reset" }, "Show all");
      reset.addEventListener("click", () => {
        for (const name of FACETS) chosen[name] = "";
        setTime(null, null);
      });
      bar.append(reset);
    }
    const theme = make("button", { type: "button", id: "theme" });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    let now = dark.matches ? "dark" : "light";
    const paint = () => {
      document.documentElement.dataset.theme = now;
      theme.textContent = now === "dark" ? "Light" : "Dark";
      theme.setAttribute("aria-label", `Use the ${now === "dark" ? "light" : "dark"} theme`);
    };
    theme.addEventListener("click", () => { now = now === "dark" ? "light" : "dark"; paint(); });
    dark.addEventListener("change", () => { now = dark.matches ? "dark" : "light"; paint(); });
    paint();
    bar.append(theme);
    const place = document.getElementById("controls");
    place.append(bar);
    if (timed && last > first) {
      const group = make("div", { class: "range" });
      for (const [at, name] of [[0, "from"], [1, "to"]]) {
        const input = make("input", { type: "range", min: first, max: last, step: 1, id: `time-${name}` });
        input.addEventListener("input", () => {
          const ends = ranges.map((range) => Number(range.value));
          if (ends[0] > ends[1]) ends[1 - at] = ends[at];
          setTime(ends[0], ends[1]);
        });
        ranges.push(input);
        group.append(make("label", {}, name, input));
      }
      place.append(group);
    }
    place.append(state);
  }

  controls();
  const main = document.getElementById("charts");
  for (const note of data.notes) main.append(make("p", { class: "note" }, note));
  if (data.items.length > 4) {
    const links = data.items.map((item, at) => make("li", {}, make("a", { href: `#item-${at}` }, item.title)));
    main.append(make("nav", { "aria-label": "Contents" }, make("ul", { class: "legend" }, ...links)));
  }
  data.items.forEach((item, at) => {
    const id = `item-${at}`;
    item.section = make("section", { "aria-labelledby": id }, make("h2", { id }, item.title), make("div", { class: "drawn" }));
    for (const note of item.notes) item.section.append(make("p", { class: "note" }, `Note: ${note}.`));
    if (item.file) item.section.append(make("p", { class: "note" }, make("a", { href: encodeURI(item.file) }, `All of it: ${item.file}`)));
    main.append(item.section);
    if (item.kind === "figures") drawOne(item);
  });
  draw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
})();
