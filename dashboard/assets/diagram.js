const NS = "http://www.w3.org/2000/svg"
const zooms = new WeakMap()

function element(name, attributes, parent) {
  const made = document.createElementNS(NS, name)
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== null) made.setAttribute(key, value)
  if (parent) parent.append(made)
  return made
}

function arrowHead(svg) {
  const marker = element("marker", { id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse" },
    element("defs", {}, svg))
  element("path", { d: "M0 0.5 8 4 0 7.5Z", fill: "#8793A1" }, marker)
}

function draw(svg, item, pick) {
  if (item.kind === "box") {
    const group = element("g", item.value ? { class: "pick", role: "button", tabindex: 0, "aria-label": item.title, "data-value": item.value } : {}, svg)
    const box = element("rect", { x: item.x, y: item.y, width: item.w, height: item.h, rx: 4, class: `box ${item.mark}` }, group)
    if (item.title) element("title", {}, box).textContent = item.title
    if (item.value) {
      group.onclick = () => pick(item.value)
      group.onkeydown = (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(item.value) }
      }
    }
  } else if (item.kind === "path") {
    element("path", { d: item.d, class: item.mark, "marker-end": item.arrow ? "url(#head)" : null }, svg)
  } else if (item.kind === "node") {
    const circle = element("circle", { cx: item.x, cy: item.y, r: item.r, class: `node ${item.mark}` }, svg)
    if (item.title) element("title", {}, circle).textContent = item.title
    if (item.mark === "add") {
      const arm = item.r * 0.6
      element("path", { d: `M${item.x - arm} ${item.y}h${2 * arm}M${item.x} ${item.y - arm}v${2 * arm}`, class: "cross" }, svg)
    }
  } else {
    const turn = item.turn ? `rotate(${item.turn} ${item.x} ${item.y})` : null
    element("text", { x: item.x, y: item.y, "font-size": item.size, "text-anchor": item.anchor, class: item.mark, transform: turn }, svg)
      .textContent = item.text
  }
}

// A picture of its own: colours and fonts of the page are written into it.
function save(svg, data, root) {
  const copy = svg.cloneNode(true)
  const originals = [svg, ...svg.querySelectorAll("*")]
  ;[copy, ...copy.querySelectorAll("*")].forEach((node, place) => {
    const style = getComputedStyle(originals[place])
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-weight"]) {
      if (node.tagName !== "title") node.style.setProperty(name, style.getPropertyValue(name))
    }
  })
  copy.setAttribute("xmlns", NS)
  copy.setAttribute("width", data.width)
  copy.setAttribute("height", data.height)
  copy.style.background = getComputedStyle(root).getPropertyValue("--st-background-color")
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }))
  link.download = `${data.file}.svg`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".diagram")
  const view = root.querySelector(".view")
  const focused = view.querySelector(".pick:focus")?.dataset.value
  const svg = element("svg", { class: "drawing", viewBox: `0 0 ${data.width} ${data.height}`, role: "group", "aria-label": data.alt })
  arrowHead(svg)
  data.items.forEach((item) => draw(svg, item, (value) => setTriggerValue("pick", value)))
  view.replaceChildren(svg)
  const tall = window.innerHeight > 900  // a larger window gets a larger drawing
  view.style.maxHeight = `${tall ? Math.max(data.room, window.innerHeight - 330) : data.room}px`
  if (focused) view.querySelector(`.pick[data-value="${CSS.escape(focused)}"]`)?.focus()

  const fit = () => {
    const zoom = zooms.get(root) ?? 1
    const width = Math.min(data.width * (tall ? 1.3 : 1.05), view.clientWidth || data.width) * zoom
    svg.setAttribute("width", width)
    svg.setAttribute("height", (width * data.height) / data.width)
  }
  const change = (factor) => () => { zooms.set(root, factor ? Math.min(4, Math.max(0.4, (zooms.get(root) ?? 1) * factor)) : 1); fit() }
  const buttons = { closer: change(1.25), further: change(0.8), whole: change(0), picture: () => save(svg, data, root) }
  for (const [name, act] of Object.entries(buttons)) {
    const button = root.querySelector(`.${name}`)
    button.onclick = act
    button.title = data.words[name]
    button.setAttribute("aria-label", data.words[name])
  }
  view.onwheel = (event) => {
    if (!event.ctrlKey) return
    event.preventDefault()
    change(event.deltaY < 0 ? 1.1 : 1 / 1.1)()
  }
  fit()
  const watcher = new ResizeObserver(fit)
  watcher.observe(view)
  root.dataset.drawn = data.file
  return () => watcher.disconnect()
}
