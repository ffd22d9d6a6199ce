// Blocks of layers, such as those of a residual network or a transformer: a network of many layers is shown as their list.

const MANY = 20; // layers, from which on they are listed by block

// Layers that follow each other in one block: [{ name, layers }], their positions; none of a network of few layers.
export function blocksOf(layers) {
  if (layers.length < MANY) return [];
  const byModule = inARow(layers, ({ name, ...layer }) => moduleOf(name) ?? sizeOf(layer));
  return byModule.length > 1 ? byModule : inARow(layers, sizeOf);
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

// The module that a layer is in, "layer2_0" of "layer2_0_downsample_sn": the innermost whose name has a number; null without.
function moduleOf(name) {
  const parts = name.split("_");
  const innermost = parts.slice(0, -1).findLastIndex((part) => /\d/.test(part));
  return innermost < 0 ? null : parts.slice(0, innermost + 1).join("_");
}

function sizeOf({ band, shape: [, height, width] }) {
  return band ? "neurons" : `maps of ${height} × ${width}`;
}
