/* Keys and values of a window for all layers of a decoder, in 8 bits. */
#pragma once
#include "matrix.h"

#define SIZE 64              /* numbers of a head */
#define ROW_BYTES (SIZE + 8) /* SIZE numbers of 8 bits, then their scale and their offset */

typedef struct {
    int64_t layers, count, heads; /* count: frames */
    const float *x;               /* [count, D] */
    uint8_t *panels;              /* [threads, SIZE, D] */
    float *both;                  /* [threads, SIZE, 2 D]: keys, and values beside them */
    uint8_t *tables;              /* [layers, 2, heads, frames, ROW_BYTES] */
    int64_t head_bytes;           /* of `tables`, of one head's keys or values */
} Window;

/* Pack a row: levels from 0 to 255 between its least and its largest number. */
static void pack_row(const __m512 *numbers, uint8_t *row) {
    __m512 low = numbers[0], high = numbers[0];
    __mmask16 strange = 0; /* not a number */
    for (int i = 0; i < SIZE / LANES; i++) {
        low = _mm512_min_ps(low, numbers[i]);
        high = _mm512_max_ps(high, numbers[i]);
        strange |= _mm512_cmp_ps_mask(numbers[i], numbers[i], _CMP_UNORD_Q);
    }
    float range[2], least = strange ? NAN : _mm512_reduce_min_ps(low);
    range[0] = (_mm512_reduce_max_ps(high) - least) / 255;
    range[1] = least;
    __m512 rate = _mm512_set1_ps(range[0] > 0 ? 1 / range[0] : 0);
    for (int i = 0; i < SIZE / LANES; i++) {
        __m512 step = _mm512_mul_ps(_mm512_sub_ps(numbers[i], _mm512_set1_ps(least)), rate);
        __m512i level = _mm512_max_epi32(_mm512_cvtps_epi32(step), _mm512_setzero_si512());
        _mm_storeu_si128((__m128i *)(row + i * LANES), _mm512_cvtusepi32_epi8(level));
    }
    __builtin_memcpy(row + SIZE, range, sizeof range);
}

/* Pack up to SIZE frames of a head, and zeros behind them. Keys lie turned: a row has one number of
   SIZE frames. */
static void pack_block(const float *both, int64_t count, int64_t width, uint8_t *keys,
                       uint8_t *values) {
    const __m512i places = _mm512_mullo_epi32(lane_numbers(), _mm512_set1_epi32(2 * width));
    __m512 numbers[SIZE / LANES];
    for (int64_t d = 0; d < SIZE; d++, keys += ROW_BYTES) {
        for (int64_t i = 0; i < SIZE / LANES; i++) {
            int64_t left = count - i * LANES;
            __mmask16 mask = left >= LANES ? 0xffff : left > 0 ? (1 << left) - 1 : 0;
            const float *first = both + i * LANES * 2 * width + d;
            numbers[i] = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, places, first, 4);
        }
        pack_row(numbers, keys);
    }
    for (int64_t f = 0; f < SIZE; f++, values += ROW_BYTES) {
        for (int i = 0; i < SIZE / LANES; i++)
            numbers[i] = _mm512_loadu_ps(both + f * 2 * width + width + i * LANES);
        if (f < count)
            pack_row(numbers, values);
        else
            __builtin_memset(values, 0, ROW_BYTES);
    }
}

/* Project and pack this thread's blocks of SIZE frames. */
static void store_blocks(const Matrix *layers, const Window *window) {
    int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t width = window->heads * SIZE, blocks = (window->count + SIZE - 1) / SIZE;
    uint8_t *panels = window->panels + thread * SIZE * width;
    float *both = window->both + thread * SIZE * 2 * width, factors[SIZE];
    for (int64_t b = blocks * thread / threads; b < blocks * (thread + 1) / threads; b++) {
        int64_t count = LEAST(window->count - b * SIZE, SIZE);
        quantize(window->x + b * SIZE * width, count, NULL, layers, panels, factors);
        for (int64_t layer = 0; layer < window->layers; layer++) {
            uint8_t *table = window->tables + 2 * layer * window->heads * window->head_bytes;
            multiply_panels(count, panels, factors, layers + layer, 0, tiles_of(layers + layer),
                            PLAIN, both);
            for (int64_t head = 0; head < window->heads; head++) {
                uint8_t *keys = table + head * window->head_bytes + b * SIZE * ROW_BYTES;
                pack_block(both + head * SIZE, count, width, keys,
                           keys + window->heads * window->head_bytes);
            }
        }
    }
}
