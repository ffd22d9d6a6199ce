/* Computes what vectors.h says that a network fires, and compares every bit:
     cc -O2 -o check check.c && ./check
   README.md has the equations; here they are in plain loops, without any library. */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include "vectors.h"

static int8_t *fired[LAYERS];   /* [TIMESTEPS][neurons] of the sample at hand */
static int64_t *v[LAYERS], *i[LAYERS];

static int size(const layer_t *l) { return l->channels * l->height * l->width; }
static int bit(const uint8_t *bits, int n) { return bits[n / 8] >> (7 - n % 8) & 1; }
static int64_t rz(int64_t x, int n) { return x < 0 ? -(-x >> n) : x >> n; }
static int64_t sat24(int64_t x) { return x > 8388607 ? 8388607 : x < -8388607 ? -8388607 : x; }

static int x_at(const input_t *in, int t, int c, int row, int column) {
  int sum = 0;
  c = in->channel_of[c], row = in->row_of[row], column = in->column_of[column];
  for (int k = 0; c >= 0 && row >= 0 && column >= 0 && k < in->sources; k++) {
    const source_t *s = &in->source[k];
    const layer_t *l = &layers[s->layer];
    int step = t - s->delay[c];
    if (step >= 0)
      sum += s->sign * fired[s->layer][step * size(l) + (c * l->height + row) * l->width + column];
  }
  return sum;
}

static int pooled(const input_t *in, int t, int c, int row, int column) {
  int sum = 0;
  for (int y = 0; y < in->pool_height; y++)
    for (int z = 0; z < in->pool_width; z++)
      sum += x_at(in, t, c, row * in->pool_height + y, column * in->pool_width + z);
  return in->pools_maximum ? sum > 0 : sum;
}

static int64_t weighed(const input_t *in, const int *map, int o, int row, int column) {
  int height = in->height / in->pool_height, width = in->width / in->pool_width;
  int64_t sum = 0;
  if (!in->weight) return map[(o * height + row) * width + column];
  const int8_t *w = in->weight + o * in->channels * in->kernel_height * in->kernel_width;
  for (int c = 0; c < in->channels; c++)
    for (int ky = 0; ky < in->kernel_height; ky++)
      for (int kx = 0; kx < in->kernel_width; kx++, w++) {
        int y = row * in->stride_y - in->padding_y + ky, x = column * in->stride_x - in->padding_x + kx;
        if (y >= 0 && y < height && x >= 0 && x < width) sum += *w * map[(c * height + y) * width + x];
      }
  return sum;
}

static void add_currents(const layer_t *l, const input_t *in, int t, int64_t *driven) {
  int height = in->height / in->pool_height, width = in->width / in->pool_width, places = in->rows * in->columns;
  int down = (in->rows + 2 * in->window_padding_y - in->window_height) / in->window_stride_y + 1;
  int across = (in->columns + 2 * in->window_padding_x - in->window_width) / in->window_stride_x + 1;
  int *map = malloc(sizeof(int) * in->channels * height * width);
  int64_t *a = malloc(sizeof(int64_t) * places), *maxima = malloc(sizeof(int64_t) * down * across);
  for (int n = 0; n < in->channels * height * width; n++)
    map[n] = pooled(in, t, n / (height * width), n / width % height, n % width);
  for (int o = 0; o < in->out_channels; o++) {
    int64_t sum = 0, gain = in->gain[(t - 1) % in->gain_rows * in->out_channels + o];
    for (int n = 0; n < places; n++) a[n] = weighed(in, map, o, n / in->columns, n % in->columns);
    for (int n = 0; n < down * across; n++) {
      maxima[n] = INT64_MIN;
      for (int m = 0; m < in->window_height * in->window_width; m++) {
        int y = n / across * in->window_stride_y - in->window_padding_y + m / in->window_width;
        int x = n % across * in->window_stride_x - in->window_padding_x + m % in->window_width;
        if (y >= 0 && y < in->rows && x >= 0 && x < in->columns && a[y * in->columns + x] > maxima[n])
          maxima[n] = a[y * in->columns + x];
      }
      sum += maxima[n];
    }
    for (int n = 0; n < l->height * l->width; n++)
      driven[o * l->height * l->width + n] += rz((in->sums_places ? sum : maxima[n]) * gain, in->shift);
  }
  free(map), free(a), free(maxima);
}

static void step(int k, int t) {
  const layer_t *l = &layers[k];
  int places = l->height * l->width, neurons = size(l);
  const int8_t *before = fired[k] + (t - 1) * neurons;
  int64_t *driven = calloc(neurons, sizeof *driven);
  for (int n = 0; n < l->inputs; n++) add_currents(l, &l->input[n], t, driven);
  for (int n = 0; n < neurons; n++) {
    int c = n / places;
    int64_t rest = l->reset_to_zero && before[n] ? 0 : rz(v[k][n] * (4096 - l->decay[c]), 12);
    i[k][n] = rz(i[k][n] * (4096 - l->synaptic_decay[c]), 12) + driven[n]
      + l->bias[(t - 1) % l->bias_rows * l->channels + c];
    if (l->limits_current) i[k][n] = sat24(i[k][n]);
    v[k][n] = sat24(rest + i[k][n] - (l->reset_to_zero ? 0 : l->reset_by[c] * before[n]));
    if (v[k][n] < l->lowest[c]) v[k][n] = l->lowest[c];
    fired[k][t * neurons + n] = v[k][n] > l->threshold[c] - l->fires_at_threshold;
  }
  free(driven);
}

int main(void) {
  long differing = 0, compared = 0;
  for (int k = 0; k < LAYERS; k++) {
    fired[k] = malloc((size_t)TIMESTEPS * size(&layers[k]));
    v[k] = malloc(sizeof(int64_t) * size(&layers[k]));
    i[k] = malloc(sizeof(int64_t) * size(&layers[k]));
  }
  for (int sample = 0; sample < SAMPLES; sample++) {
    int64_t sums[CLASSES] = {0};
    for (int k = 0; k < LAYERS; k++) {
      memset(fired[k], 0, (size_t)TIMESTEPS * size(&layers[k]));
      memset(v[k], 0, sizeof(int64_t) * size(&layers[k]));
      memset(i[k], 0, sizeof(int64_t) * size(&layers[k]));
    }
    for (int t = 0; t < TIMESTEPS; t++)
      for (int k = 0; k < LAYERS; k++) {
        const layer_t *l = &layers[k];
        int neurons = size(l), bytes = (neurons + 7) / 8;
        const uint8_t *expected = l->spikes + ((size_t)sample * TIMESTEPS + t) * bytes;
        if (k && t) step(k, t);
        for (int n = 0; n < neurons; n++) {
          if (!k) fired[k][t * neurons + n] = bit(expected, n);
          if (fired[k][t * neurons + n] == bit(expected, n)) continue;
          if (!differing++)
            printf("sample %d, step %d, layer %s, neuron %d: fires %d, expected %d\n",
                   sample, t, l->name, n, fired[k][t * neurons + n], bit(expected, n));
        }
        compared += k ? neurons : 0;
        for (int o = 0; k == LAYERS - 1 && o < CLASSES; o++) {
          sums[o] = rz(sums[o] * READOUT_LEAK, 12) + readout_bias[t % READOUT_BIAS_ROWS * CLASSES + o];
          for (int n = 0; n < neurons; n++) sums[o] += readout_weight[o * neurons + n] * fired[k][t * neurons + n];
        }
      }
    for (int o = 0; o < CLASSES; o++, compared++)
      if (sums[o] != readout_sums[sample * CLASSES + o] && !differing++)
        printf("sample %d, class %d: sums to %lld, expected %d\n",
               sample, o, (long long)sums[o], (int)readout_sums[sample * CLASSES + o]);
  }
  printf("%ld of %ld bits and sums differ\n", differing, compared);
  return differing != 0;
}
