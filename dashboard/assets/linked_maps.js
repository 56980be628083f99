// Maps beside each other on one scale: one zoom and one cursor for all of them, and the numbers under the cursor in a line below.
// Places are shares of the picture (0 to 1 from the left and the top), so maps of different resolution show the same place.

const STEPS = 512 // colours of the scale
const DRAGGED = 5 // px: less is a click
const WHOLE = { x: 0, y: 0, size: 1 }
const CURSOR = "#C2417F"
const kept = new WeakMap() // root -> state: zoom and cursor stay while the maps change

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".maps")
  const state = kept.get(root) ?? begin(root)
  if (state.data?.place !== data.place) Object.assign(state, { view: WHOLE, cursor: null }) // another block: another picture
  state.data = data
  state.colours = palette(data.stops)
  root.setAttribute("aria-label", data.alt)
  root.dataset.shown = `${data.place}, ${data.words.where}`
  fill(state)
  layOut(state)
}

function begin(root) {
  const state = { root, view: WHOLE, cursor: null, drag: null, panels: [] }
  kept.set(root, state)
  new ResizeObserver(() => layOut(state)).observe(root.querySelector(".panels"))
  root.querySelector(".whole").onclick = () => look(state, WHOLE)
  root.querySelector(".picture").onclick = () => save(state)
  root.onkeydown = (event) => key(state, event)
  return state
}

// -- what is shown ----------------------------------------------------------------------------------------------------------------

function fill(state) {
  const { root, data } = state
  const place = root.querySelector(".panels")
  place.replaceChildren()
  state.panels = data.panels.map((panel) => {
    const figure = document.createElement("figure")
    const title = document.createElement("figcaption")
    title.textContent = panel.title
    const canvas = document.createElement("canvas")
    figure.append(title, canvas)
    place.append(figure)
    const shown = { ...panel, canvas, figure, values: numbers(panel.values) }
    if (shown.values) shown.image = painted(shown, data.limit, state.colours)
    else note(figure, canvas, panel.note)
    listen(state, shown)
    return shown
  })
  scale(root.querySelector(".scale"), data)
  const { whole, picture } = data.words
  for (const [name, words] of [["whole", whole], ["picture", picture]]) {
    const button = root.querySelector(`.${name}`)
    button.title = words
    button.setAttribute("aria-label", words)
  }
}

function numbers(text) {
  if (!text) return null
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  return new Float32Array(bytes.buffer)
}

function note(figure, canvas, words) {
  const said = document.createElement("p")
  said.textContent = words
  figure.append(said)
  canvas.classList.add("empty")
}

function palette(stops) {
  const colours = new Uint8ClampedArray(4 * STEPS)
  const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16))
  for (let step = 0; step < STEPS; step++) {
    const share = step / (STEPS - 1)
    const next = Math.max(1, stops.findIndex(([stop]) => stop >= share))
    const [[low, from], [high, to]] = [stops[next - 1], stops[next]]
    const mix = (share - low) / (high - low)
    rgb(from).forEach((value, channel) => (colours[4 * step + channel] = value + mix * (rgb(to)[channel] - value)))
    colours[4 * step + 3] = 255
  }
  return colours
}

function painted({ values, rows, columns }, limit, colours) {
  const image = new ImageData(columns, rows)
  const pixels = new Uint32Array(image.data.buffer)
  const known = new Uint32Array(colours.buffer)
  const factor = (STEPS - 1) / (2 * limit)
  for (let place = 0; place < values.length; place++) {
    const value = values[place]
    if (value === value) pixels[place] = known[Math.min(STEPS - 1, Math.max(0, Math.round((value + limit) * factor)))]
  }
  const canvas = new OffscreenCanvas(columns, rows)
  canvas.getContext("2d").putImageData(image, 0, 0)
  return canvas
}

function scale(place, { stops, limit, words }) {
  place.style.setProperty("--stops", stops.map(([stop, colour]) => `${colour} ${100 * stop}%`).join(", "))
  place.querySelector(".title").textContent = words.value
  const ticks = [1, 0.5, 0, -0.5, -1].map((share) => {
    const tick = document.createElement("span")
    tick.textContent = share ? short(share * limit) : "0"
    return tick
  })
  place.querySelector(".ticks").replaceChildren(...ticks)
}

function short(value) {
  return Number(value.toPrecision(2)).toString().replace("-", "−")
}

// -- drawing ----------------------------------------------------------------------------------------------------------------------

function layOut(state) {
  const sharp = window.devicePixelRatio || 1
  let height = 0
  for (const panel of state.panels) {
    const ratio = panel.columns / panel.rows
    const width = Math.max(1, Math.min(panel.figure.clientWidth, state.data.height * ratio))
    height = Math.max(height, width / ratio)
    panel.canvas.style.width = `${width}px`
    panel.canvas.style.height = `${width / ratio}px`
    panel.canvas.width = Math.round(width * sharp)
    panel.canvas.height = Math.round((width / ratio) * sharp)
  }
  state.root.style.setProperty("--height", `${height}px`)
  draw(state)
}

function draw(state) {
  for (const panel of state.panels) {
    if (panel.image) paint(panel.canvas.getContext("2d"), panel, state, panel.canvas.width, panel.canvas.height)
  }
  const { cursor, view, root } = state
  root.querySelector(".whole").disabled = view.size === 1
  root.dataset.view = [view.x, view.y, view.size].map((share) => share.toFixed(4)).join(" ")
  const said = root.querySelector(".said")
  const words = cursor ? spoken(state) : ""
  said.textContent = words || state.data.words.hint
  said.classList.toggle("hint", !words)
}

function paint(pen, panel, { view, cursor, drag }, width, height) {
  const { image, rows, columns } = panel
  pen.clearRect(0, 0, width, height)
  pen.imageSmoothingEnabled = columns * view.size > width
  pen.drawImage(image, view.x * columns, view.y * rows, view.size * columns, view.size * rows, 0, 0, width, height)
  const across = (share) => ((share - view.x) / view.size) * width
  const down = (share) => ((share - view.y) / view.size) * height
  pen.lineWidth = Math.max(1, width / 220)
  if (drag?.moved) {
    const box = square(drag)
    pen.strokeStyle = CURSOR
    pen.strokeRect(across(box.x), down(box.y), (box.size / view.size) * width, (box.size / view.size) * height)
  } else if (cursor) {
    const { row, column } = cell(panel, cursor)
    panel.canvas.dataset.cell = `${row} ${column}`
    const [left, top] = [across(column / columns), down(row / rows)]
    const [wide, high] = [width / columns / view.size, height / rows / view.size]
    pen.strokeStyle = CURSOR
    pen.globalAlpha = 0.55
    pen.beginPath()
    for (const [x, y, toX, toY] of [[0, top + high / 2, left, top + high / 2], [left + wide, top + high / 2, width, top + high / 2],
      [left + wide / 2, 0, left + wide / 2, top], [left + wide / 2, top + high, left + wide / 2, height]]) {
      pen.moveTo(x, y)
      pen.lineTo(toX, toY)
    }
    pen.stroke()
    pen.globalAlpha = 1
    pen.strokeRect(left, top, wide, high)
  } else delete panel.canvas.dataset.cell
}

function cell({ rows, columns }, { x, y }) {
  return { row: Math.min(rows - 1, Math.floor(y * rows)), column: Math.min(columns - 1, Math.floor(x * columns)) }
}

// -- in words ---------------------------------------------------------------------------------------------------------------------

function spoken({ panels, cursor, data }) {
  const { words } = data
  const full = panels.filter((panel) => panel.values)
  const found = full.map((panel) => {
    const { row, column } = cell(panel, cursor)
    return panel.values[row * panel.columns + column]
  })
  if (found.some(Number.isNaN)) return "" // on the line between two channels
  const where = place(full[0], cursor, words)
  if (!data.sum) return `${where}: ${full.map((panel, number) => `${panel.title} = ${signed(found[number])}`).join(" · ")}`
  const [x, f, z, y] = found
  const ending = words.relu ? ` ${words.relu} ${signed(y)}` : ""
  const [first, second] = addends(x, f, z)
  return `${where}: ${words.first} + F(x): ${signed(first)} + ${bracketed(second)} = ${signed(z)}${ending}`
}

function place(panel, cursor, words) {
  let { row, column } = cell(panel, cursor)
  let where = words.where
  if (panel.tile) {
    const [high, wide, across] = panel.tile
    where = `${words.where} ${Math.floor(row / (high + 1)) * across + Math.floor(column / (wide + 1))}`
    row %= high + 1
    column %= wide + 1
  }
  return `${where}, ${words.place.replace("{row}", row).replace("{column}", column)}`
}

// Rounded alone, 0.14 + (−0.13) would be 0.02: of the two, the one whose rounding is the larger gives way by a hundredth.
function addends(x, f, z) {
  const hundredths = [x, f, z].map((value) => Math.round(100 * value))
  const missing = hundredths[2] - hundredths[0] - hundredths[1]
  if (Math.abs(missing) === 1) {
    const errors = [x, f].map((value, place) => missing * (100 * value - hundredths[place]))
    hundredths[errors[0] > errors[1] ? 0 : 1] += missing
  }
  return [hundredths[0] / 100, hundredths[1] / 100]
}

function signed(value) {
  return value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−")
}

function bracketed(value) {
  const words = signed(value)
  return words.startsWith("−") ? `(${words})` : words
}

// -- hands ------------------------------------------------------------------------------------------------------------------------

function listen(state, panel) {
  const { canvas } = panel
  if (!panel.values) return
  const at = (event) => {
    const box = canvas.getBoundingClientRect()
    const inside = (share) => Math.min(1 - 1e-6, Math.max(0, share))
    const { view } = state
    return {
      x: inside(view.x + inside((event.clientX - box.left) / box.width) * view.size),
      y: inside(view.y + inside((event.clientY - box.top) / box.height) * view.size),
    }
  }
  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return
    canvas.setPointerCapture(event.pointerId)
    state.drag = { from: at(event), to: at(event), startX: event.clientX, startY: event.clientY, moved: false }
  }
  canvas.onpointermove = (event) => {
    state.cursor = at(event)
    if (state.drag) {
      state.drag.to = state.cursor
      state.drag.moved ||= Math.hypot(event.clientX - state.drag.startX, event.clientY - state.drag.startY) > DRAGGED
    }
    soon(state)
  }
  canvas.onpointerup = () => {
    const drag = state.drag
    state.drag = null
    if (drag?.moved) look(state, square(drag))
  }
  canvas.onpointercancel = () => (state.drag = null)
  canvas.onpointerleave = () => {
    if (!state.drag) state.cursor = null
    soon(state)
  }
  canvas.ondblclick = () => look(state, WHOLE)
}

function soon(state) {
  state.waiting ??= requestAnimationFrame(() => {
    state.waiting = undefined
    draw(state)
  })
}

function square({ from, to }) {
  const size = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y))
  return { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), size }
}

function look(state, { x, y, size }) {
  const most = Math.max(...state.panels.filter((panel) => panel.values).map((panel) => Math.max(panel.columns, panel.rows)))
  const kept = Math.min(1, Math.max(size, 3 / most))
  const inside = (share) => Math.min(1 - kept, Math.max(0, share))
  state.view = { x: inside(x), y: inside(y), size: kept }
  draw(state)
}

function key(state, event) {
  const { view } = state
  const finest = state.panels.filter((panel) => panel.values).sort((a, b) => b.columns - a.columns)[0]
  if (!finest || event.target.tagName === "BUTTON") return
  const cursor = state.cursor ?? { x: view.x + view.size / 2, y: view.y + view.size / 2 }
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
  if (event.key in moves) {
    const inside = (share) => Math.min(1 - 1e-6, Math.max(0, share))
    const [right, down] = moves[event.key]
    const { row, column } = cell(finest, cursor)
    state.cursor = { x: inside((column + right + 0.5) / finest.columns), y: inside((row + down + 0.5) / finest.rows) }
    follow(state)
  } else if (event.key === "+" || event.key === "-") {
    const size = view.size * (event.key === "+" ? 0.5 : 2)
    look(state, { x: cursor.x - size / 2, y: cursor.y - size / 2, size })
  } else if (event.key === "Escape") look(state, WHOLE)
  else return
  event.preventDefault()
}

function follow(state) {
  const { view, cursor } = state
  const near = (start, share) => Math.max(Math.min(start, share), share - view.size)
  look(state, { x: near(view.x, cursor.x), y: near(view.y, cursor.y), size: view.size })
}

// -- a picture --------------------------------------------------------------------------------------------------------------------

function save(state) {
  const style = getComputedStyle(state.root)
  const [side, gap, head, bar] = [600, 24, 48, 150]
  const shown = state.panels.filter((panel) => panel.image)
  const tall = Math.max(...shown.map((panel) => (side * panel.rows) / panel.columns))
  const canvas = new OffscreenCanvas(shown.length * (side + gap) + bar, tall + head)
  const pen = canvas.getContext("2d")
  pen.fillStyle = style.getPropertyValue("--st-background-color") || "#fff"
  pen.fillRect(0, 0, canvas.width, canvas.height)
  pen.font = "28px sans-serif"
  shown.forEach((panel, number) => {
    pen.fillStyle = style.color
    pen.fillText(panel.title, number * (side + gap), 32)
    const high = (side * panel.rows) / panel.columns
    const part = new OffscreenCanvas(side, high)
    paint(part.getContext("2d"), panel, { ...state, cursor: null, drag: null }, side, high)
    pen.drawImage(part, number * (side + gap), head)
  })
  const left = shown.length * (side + gap)
  const fade = pen.createLinearGradient(0, head + tall, 0, head)
  for (const [stop, colour] of state.data.stops) fade.addColorStop(stop, colour)
  pen.fillStyle = fade
  pen.fillRect(left, head, 30, tall)
  pen.fillStyle = style.color
  pen.fillText(state.data.words.value, left, 32)
  for (const share of [1, 0.5, 0, -0.5, -1]) {
    pen.fillText(share ? short(share * state.data.limit) : "0", left + 38, head + 22 + ((1 - share) / 2) * (tall - 24))
  }
  canvas.convertToBlob().then((blob) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(blob)
    link.download = state.data.file
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10000)
  })
}
