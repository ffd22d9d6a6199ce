// The front end of view.py in a notebook: the page in a frame that reaches nothing outside of itself, see host.js. The frame can
// set four values, and Python refuses what is none of them.
const VALUES = ["layer", "place", "step", "edit"];

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = "spikesam";
  frame.style.cssText = "width: 100%; height: 700px; border: 0";
  frame.srcdoc = model.get("_page");

  const values = () => VALUES.map((name) => [name, model.get(name)]);
  const send = (entries) => frame.contentWindow?.postMessage({ spikesam: "set", ...Object.fromEntries(entries) }, "*");
  const greet = () => send(values().filter(([, value]) => value !== null)); // then the page says what it shows
  const tell = () => {
    if (!receiving) send(values());
  };

  let receiving = false;
  const receive = ({ source, data }) => {
    if (source !== frame.contentWindow || data?.spikesam !== "state") return;
    receiving = true;
    for (const name of VALUES) model.set(name, data[name] ?? null);
    receiving = false;
    model.save_changes();
  };

  frame.addEventListener("load", greet);
  window.addEventListener("message", receive);
  for (const name of VALUES) model.on(`change:${name}`, tell);
  el.append(frame);
  return () => {
    window.removeEventListener("message", receive);
    for (const name of VALUES) model.off(`change:${name}`, tell);
  };
}

export default { render };
