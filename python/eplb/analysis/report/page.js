// Draws what the data in this page says. Nothing is computed here that `--json` has.
const page = JSON.parse(document.getElementById("data").textContent);
const { names, styles, specs, data, recommended, start } = page;
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Charts. A chart that is drawn again takes the place of the one before.
const drawn = {};
async function draw(id, spec, datasets) {
  const turn = (drawn[id]?.turn ?? 0) + 1;
  drawn[id] = { ...drawn[id], turn };
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    actions: { export: true, source: false, compiled: false, editor: false },
    downloadFileName: `eplb-${id}`,
  };
  const result = await vegaEmbed(`#${id}`, { ...spec, datasets }, options);
  if (drawn[id].turn !== turn) return null;
  drawn[id].result?.finalize();
  drawn[id].result = result;
  return result.view;
}

// Tables that sort by a click on a heading: numbers first as numbers, what is missing last.
function sortable(table) {
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = element("button", { type: "button" }, ...heading.childNodes);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const falls = heading.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", falls ? "ascending" : "descending");
      const value = (row) => {
        const text = row.cells[column].textContent;
        const number = Number.parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const compare = (one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "-" || b === "-") return (a === "-") - (b === "-");
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return falls ? order : -order;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  });
}

function fill(table, headings, rows) {
  const caption = table.caption;
  const head = element("thead", {}, element("tr", {}, ...headings.map((name) => element("th", { scope: "col" }, name))));
  const body = element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => cell instanceof Node ? cell : element("td", {}, cell)))));
  table.replaceChildren(...(caption ? [caption] : []), head, body);
  sortable(table);
}

const shown = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
const span = (first, last) => (first === last ? `${first}` : `${first} to ${last}`);

// Balancedness over time.
const visible = new Set(start);
function legend() {
  names.forEach((name, at) => {
    const box = element("input", { type: "checkbox", id: `show-${at}` });
    box.checked = visible.has(at);
    box.addEventListener("change", () => {
      if (box.checked) visible.add(at);
      else if (visible.size > 1) visible.delete(at);
      else box.checked = true; // A chart without a line has no scale.
      drawLines();
    });
    const style = styles[at];
    const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    swatch.setAttribute("width", "28");
    swatch.setAttribute("height", "10");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", "M0 5h28");
    line.setAttribute("stroke", style.colour);
    line.setAttribute("stroke-width", style.width);
    if (style.dash[1]) line.setAttribute("stroke-dasharray", style.dash.join(" "));
    swatch.append(line);
    byId("legend").append(element("label", {}, box, swatch, name));
  });
}

function drawLines() {
  const points = new Map();
  let width = 1;
  data.lines.forEach((line, at) => {
    for (const { window, until, mean } of line) {
      width = Math.max(width, until - window + 1);
      if (!points.has(window)) points.set(window, { window });
      if (visible.has(at)) points.get(window)[`s${at}`] = mean;
    }
  });
  const spec = structuredClone(specs.lines);
  const keys = [...visible].sort((a, b) => a - b).map((at) => `s${at}`);
  spec.layer[0].transform[0].fold = keys;
  spec.layer[1].encoding.tooltip = spec.layer[1].encoding.tooltip.filter(({ field }) => field === "window" || keys.includes(field));
  byId("lines-note").textContent = `The mean of all layers that have load${width > 1 ? `, and of ${width} windows a point` : ""}. Point at a window to see its values.`;
  return draw("lines", spec, { points: [...points.values()], events: data.events });
}

// Layers and windows of a setting.
let setting = recommended ?? 0;
async function drawHeat() {
  const { windows, cells } = data.heat[setting];
  const points = [];
  let width = 1;
  windows.forEach(([first, last], column) => {
    width = Math.max(width, last - first + 1);
    cells[column].forEach((value, layer) => {
      if (value !== null) points.push({ window: first, last, windows: span(first, last), layer, balancedness: value / 1000 });
    });
  });
  byId("heat-note").textContent = `${width > 1 ? `Each column is the mean of ${width} windows. ` : ""}Bright is balanced; ${specs.heat.encoding.color.scale.domain[0].toFixed(2)} and less is darkest. Click on a cell to see its GPUs below.`;
  const view = await draw("heat", specs.heat, { points });
  view?.addEventListener("click", (_, item) => {
    const cell = item?.datum;
    if (cell?.layer === undefined) return;
    choose(cell.window, cell.last, cell.layer);
    byId("detail").scrollIntoView({ behavior: "smooth", block: "nearest" });
  });
}

function fillLayers() {
  fill(byId("layers"), ["layer", "mean", "worst", "in window"], data.layers[setting].map((row) => [
    `${row.layer}`, shown(row.mean, 4), shown(row.worst, 4), row.window === null ? "-" : `${row.window}`,
  ]));
}

function fillRows() {
  byId("rows-of").textContent = names[setting];
  if (data.rows === null) {
    byId("rows-note").textContent = "There are too many windows to list here: eplb replay --out results.csv has them.";
    return;
  }
  const rows = data.rows[setting];
  fill(byId("rows"), ["window", "balancedness", "worst", "in layer", "copies", "plan ms"], (rows.window ?? []).map((window, at) => [
    `${window}`, shown(rows.balancedness_mean[at], 4), shown(rows.balancedness_worst[at], 4),
    rows.worst_layer[at] === null ? "-" : `${rows.worst_layer[at]}`,
    rows.updated[at] ? `${rows.copies[at]}` : "-", rows.updated[at] ? shown(rows.seconds[at] * 1000, 2) : "-",
  ]));
}

// GPUs of a layer in a window.
const after = (snapshot, row) => snapshot.after[row] ?? snapshot.before[row];
let snapshot = null;

function choose(first, last, layer) {
  const kept = data.snapshots[setting];
  if (!kept.length) return;
  const away = ({ window }) => Math.max(first - window, window - last, 0);
  const nearest = kept.reduce((best, one) => (away(one) < away(best) ? one : best));
  pickWindow(nearest.window, layer);
}

function fillWindows() {
  const kept = data.snapshots[setting];
  const all = kept.length === data.lines[setting].reduce((sum, { window, until }) => sum + until - window + 1, 0);
  byId("kept-note").textContent = !kept.length
    ? "No GPU loads were kept of this setting: eplb replay --report and eplb.replay(snapshots=True) keep them, but not in a file of results from which a setting is read."
    : all ? "" : `This page has the GPU loads of the worst ${kept.length === 1 ? "window" : `${kept.length} windows`} of each setting${kept[0].layers.length < data.layers[setting].length ? `, and of the worst ${kept[0].layers.length} layers there` : ""}. A click on another window leads to the nearest of these.`;
  const sorted = [...kept].sort((a, b) => a.window - b.window);
  byId("window").replaceChildren(...sorted.map(({ window }) => element("option", { value: window }, `${window}${kept[0].window === window ? " (the worst)" : ""}`)));
  if (kept.length) pickWindow(kept[0].window, null);
  else snapshot = null;
}

function pickWindow(window, layer) {
  snapshot = data.snapshots[setting].find((one) => one.window === window);
  byId("window").value = window;
  const values = snapshot.balancedness.map(([, reached]) => reached);
  const worst = values.reduce((best, value, row) => (value !== null && (values[best] === null || value < values[best]) ? row : best), 0);
  byId("layer").replaceChildren(...snapshot.layers.map((one, row) => element("option", { value: row }, `${one}${row === worst ? " (the worst)" : ""}`)));
  const wanted = snapshot.layers.indexOf(layer);
  pickLayer(wanted < 0 ? worst : wanted);
}

function pickLayer(row) {
  byId("layer").value = row;
  const before = snapshot.before[row];
  const now = after(snapshot, row);
  const moved = snapshot.moved[row];
  const total = snapshot.num_moved[row];
  const [was, is] = snapshot.balancedness[row];
  const where = `${names[setting]}, window ${snapshot.window}, layer ${snapshot.layers[row]}`;
  const load = is === null ? "no load" : `balancedness ${shown(is, 4)}`;
  const changed = total ? `The update before this window moved ${total === 1 ? "1 expert" : `${total} experts`}; without it, balancedness would be ${shown(was, 4)}.` : "No expert of this layer was moved before this window.";
  byId("gpus-words").textContent = `${where}: ${load}. ${changed}`;
  const points = [];
  for (let gpu = 0; gpu < Math.max(before.length, now.length); gpu += 1) {
    const value = (loads) => (loads[gpu] === undefined || loads[gpu] === null ? null : loads[gpu] / 1000);
    points.push({ gpu, before: value(before), after: value(now) });
  }
  draw("gpus", specs.gpus, { points });
  const gpus = (these, others, tag) => {
    const left = [...others];
    const cell = element("td");
    these.forEach((gpu, at) => {
      if (at) cell.append(", ");
      const same = left.indexOf(gpu);
      if (same >= 0) left.splice(same, 1);
      cell.append(same >= 0 ? `${gpu}` : element(tag, {}, `${gpu}`));
    });
    return cell;
  };
  fill(byId("moved"), ["expert", "share of load", "on GPUs before", "on GPUs after"], moved.map(([expert, share, held, holds]) => [
    `${expert}`, `${(share * 100).toFixed(2)} %`, gpus(held, holds, "del"), gpus(holds, held, "ins"),
  ]));
  byId("moved-note").textContent = total > moved.length ? `Of ${total} experts that moved, these ${moved.length} have most load.` : total ? "" : "None moved.";
}

function pickSetting(at) {
  setting = at;
  byId("setting").value = at;
  fillLayers();
  fillRows();
  fillWindows();
  return drawHeat();
}

sortable(byId("settings"));
legend();
byId("setting").append(...names.map((name, at) => element("option", { value: at }, `${name}${at === recommended ? " (recommended)" : ""}`)));
byId("setting").addEventListener("change", ({ target }) => pickSetting(Number(target.value)));
byId("window").addEventListener("change", ({ target }) => pickWindow(Number(target.value), snapshot.layers[Number(byId("layer").value)]));
byId("layer").addEventListener("change", ({ target }) => pickLayer(Number(target.value)));
await Promise.all([drawLines(), pickSetting(setting)]);
document.body.dataset.ready = "true";
