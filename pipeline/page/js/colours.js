// Viridis: brighter is more, for all kinds of colour vision and in grey.

const STOPS = [
  0x440154, 0x48186a, 0x472d7b, 0x424086, 0x3b528b, 0x33638d, 0x2c728e, 0x26828e, 0x21918c, 0x1fa088, 0x28ae80,
  0x3fbc73, 0x5ec962, 0x84d44b, 0xaddc30, 0xd8e219, 0xfde725,
];

// 256 colours as red, green, blue.
export const VIRIDIS = Uint8ClampedArray.from({ length: 768 }, (_, at) => {
  const place = (Math.floor(at / 3) / 255) * (STOPS.length - 1);
  const stop = Math.min(Math.floor(place), STOPS.length - 2);
  const shift = 16 - 8 * (at % 3);
  const low = (STOPS[stop] >> shift) & 255;
  const high = (STOPS[stop + 1] >> shift) & 255;
  return low + (high - low) * (place - stop);
});

// What speaks for a class and against it. How strongly is a matter of how much it covers: 0 is what lies behind.
export const FOR = [90, 210, 80];
export const AGAINST = [235, 60, 200];

// Of events, as in the pictures of pipeline/images/events/binning.py.
export const [ON, OFF, SILENT] = [
  [255, 170, 90],
  [90, 170, 255],
  [24, 24, 24],
];

// How much of a map covers what is behind it: nothing at opacity 0, all at 1; between, high values cover more.
export function cover(share, opacity) {
  if (opacity <= 0) return 0;
  return share ** ((1 - opacity) / opacity);
}
