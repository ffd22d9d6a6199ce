// Blocks of layers, such as those of a residual network or a transformer: a network of many layers is shown as their list.

const MANY = 20; // layers, from which on they are listed by block

// Layers that follow each other in one block: [{ name, layers }], their positions; none of a network of few layers.
export function blocksOf(layers) {
  if (layers.length < MANY) return [];
  const byModule = inARow(layers, ({ name, ...layer }) => moduleOf(name) ?? sizeOf(layer));
  const holdsSeveral = byModule.some((block) => block.layers.length > 1 && moduleOf(layers[block.layers[0]].name));
  return byModule.length > 1 && holdsSeveral ? byModule : inARow(layers, sizeOf);
}

function inARow(layers, nameOf) {
  const blocks = [];
  layers.forEach((layer, position) => {
    const name = nameOf(layer);
    if (blocks.at(-1)?.name === name) blocks.at(-1).layers.push(position);
    else blocks.push({ name, layers: [position] });
  });
  return blocks;
}

// The module that a layer is in, "layer2_0" of "layer2_0_downsample_sn": the innermost whose name has a number, or if none has,
// "encoder" of "encoder_down_sn", the outermost; null of a layer in no module.
function moduleOf(name) {
  const parts = name.split("_").slice(0, -1);
  const innermost = parts.findLastIndex((part) => /\d/.test(part));
  return parts.slice(0, Math.max(innermost, 0) + 1).join("_") || null;
}

function sizeOf({ band, shape: [, height, width] }) {
  return band ? "neurons" : `maps of ${height} × ${width}`;
}
