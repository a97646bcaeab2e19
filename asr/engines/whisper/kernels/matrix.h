/* Products in int8: weights by output channel, activations by row on the fly. Sums of products are
   exact, and others have an order of their own for each row, so that no row depends on the rows
   beside it, nor on the number of threads. */
#pragma once
#include "vectors.h"
#include <math.h>
#include <omp.h>
#include <stddef.h>

#define PANEL 12          /* rows whose sums with two tiles of outputs fit into the registers */
#define TILE 16           /* outputs whose weights lie together */
#define CHUNK (4 * PANEL) /* rows that stay in the cache while all weights pass */
#define SMALLEST 1e-30f   /* A row whose numbers are all smaller counts as zeros. */
#define LEAST(a, b) ((a) < (b) ? (a) : (b))

typedef struct {
    const int8_t *weight;   /* [out / TILE, in / 4, TILE, 4], zeros behind the last output */
    const float *scales;    /* [out] */
    const int32_t *offsets; /* [out]: minus the sum of an output's weights times `zero` */
    const float *bias;      /* [out], or none */
    int64_t out, in;        /* in: whole LANES */
    int64_t zero;           /* the level that stands for 0, of 0 to 255 */
    int64_t most, least;    /* levels above it and below it */
} Matrix;

typedef struct {
    const float *weight, *bias; /* [width] */
    float epsilon;
} Norm;

/* What is done with a product before it is stored: GELU; a sum with what lies there; bfloat16. */
typedef enum { PLAIN, GELU, ADDED, HALF } After;

/* Norm a row of whole LANES. */
static void normed(const float *x, const Norm *norm, int64_t width, float *y) {
    __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += LANES) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
    __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / width);
    for (int64_t i = 0; i < width; i += LANES) {
        __m512 off = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
        squares = _mm512_fmadd_ps(off, off, squares);
    }
    float variance = _mm512_reduce_add_ps(squares) / width;
    __m512 rate = _mm512_set1_ps(1.0f / sqrtf(variance + norm->epsilon));
    for (int64_t i = 0; i < width; i += LANES) {
        __m512 off = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), rate);
        __m512 weight = _mm512_loadu_ps(norm->weight + i), bias = _mm512_loadu_ps(norm->bias + i);
        _mm512_storeu_ps(y + i, _mm512_fmadd_ps(off, weight, bias));
    }
}

/* Quantize a row as row `r` of a panel [in / 4, rows, 4]; return what one of its levels is. */
static float quantize_row(const float *x, const Matrix *matrix, int64_t r, int64_t rows,
                          uint8_t *panel) {
    __m512 high = _mm512_setzero_ps(), low = _mm512_setzero_ps();
    __mmask16 strange = 0; /* not a number */
    for (int64_t i = 0; i < matrix->in; i += LANES) {
        __m512 value = _mm512_loadu_ps(x + i);
        high = _mm512_max_ps(high, value);
        low = _mm512_min_ps(low, value);
        strange |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    }
    float most = matrix->most, peak = _mm512_reduce_max_ps(high);
    float below = -_mm512_reduce_min_ps(low) * most / matrix->least;
    if (peak < below) peak = below;
    if (peak < SMALLEST) peak = SMALLEST;
    if (strange) peak = NAN;
    __m512 levels = _mm512_set1_ps(most / peak);
    __m512i zero = _mm512_set1_epi32(matrix->zero);
    for (int64_t i = 0; i < matrix->in; i += LANES) {
        __m512i level = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), levels));
        level = _mm512_max_epi32(_mm512_add_epi32(level, zero), _mm512_setzero_si512());
        int32_t fours[LANES / 4], *place = (int32_t *)panel + i / 4 * rows + r;
        _mm_storeu_si128((__m128i *)fours, _mm512_cvtusepi32_epi8(level));
        for (int j = 0; j < LANES / 4; j++) place[j * rows] = fours[j];
    }
    return peak / most;
}

/* Quantize rows, normed if there is a norm, into panels of PANEL rows and one of the rest. */
static void quantize(const float *x, int64_t count, const Norm *norm, const Matrix *matrix,
                     uint8_t *panels, float *factors) {
    float given[matrix->in];
    for (int64_t r = 0; r < count; r++, x += matrix->in) {
        int64_t first = r / PANEL * PANEL;
        if (norm) normed(x, norm, matrix->in, given);
        factors[r] = quantize_row(norm ? given : x, matrix, r - first, LEAST(count - first, PANEL),
                                  panels + first * matrix->in);
    }
}

/* Multiply a panel [fours, rows, 4] with one tile of weights or with two, `next` bytes apart, and
   fetch those that come after: few rows take less time than the memory. What is done with the sums
   is elsewhere: the compiler keeps all of them in registers here. */
INLINE void multiply_tiles(const int rows, const int tiles, const uint8_t *panel,
                           const int8_t *weight, int64_t next, int64_t fours, __m512i *products) {
    __m512i sums[PANEL][2];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    for (int64_t i = 0; i < fours; i++, weight += 4 * TILE, panel += 4 * rows) {
        __m512i first = _mm512_loadu_si512(weight), second = first;
        if (tiles == 2) second = _mm512_loadu_si512(weight + next);
        for (int t = 0; t < tiles; t++) fetch(weight + (tiles + t) * next, 4 * TILE);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            __m512i four = _mm512_set1_epi32(((const int32_t *)panel)[r]);
            sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], four, first);
            if (tiles == 2) sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], four, second);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        products[r] = sums[r][0];
        if (tiles == 2) products[PANEL + r] = sums[r][1];
    }
}

typedef void Multiply(const uint8_t *, const int8_t *, int64_t, int64_t, __m512i *);

#define MULTIPLY(rows, tiles)                                                                     \
    __attribute__((noinline)) static void multiply_##rows##_##tiles(                              \
        const uint8_t *panel, const int8_t *weight, int64_t next, int64_t fours, __m512i *into) { \
        multiply_tiles(rows, tiles, panel, weight, next, fours, into);                            \
    }
#define BOTH(rows) MULTIPLY(rows, 1) MULTIPLY(rows, 2)
BOTH(1) BOTH(2) BOTH(3) BOTH(4) BOTH(5) BOTH(6)
BOTH(7) BOTH(8) BOTH(9) BOTH(10) BOTH(11) BOTH(12)

#define NAMES(rows) {multiply_##rows##_1, multiply_##rows##_2}
static Multiply *const MULTIPLIES[PANEL][2] = {NAMES(1), NAMES(2),  NAMES(3),  NAMES(4),
                                               NAMES(5), NAMES(6),  NAMES(7),  NAMES(8),
                                               NAMES(9), NAMES(10), NAMES(11), NAMES(12)};

/* Store a tile of products, [rows] of TILE each. */
INLINE void store(const __m512i *products, int64_t rows, const float *factors,
                  const Matrix *matrix, int64_t at, const After after, void *y) {
    int64_t left = matrix->out - at;
    __mmask16 mask = left < TILE ? (1 << left) - 1 : 0xffff;
    __m512 scales = _mm512_maskz_loadu_ps(mask, matrix->scales + at);
    __m512i offsets = _mm512_maskz_loadu_epi32(mask, matrix->offsets + at);
    __m512 bias = _mm512_setzero_ps();
    if (matrix->bias) bias = _mm512_maskz_loadu_ps(mask, matrix->bias + at);
    for (int64_t r = 0; r < rows; r++, at += matrix->out) {
        __m512 product = _mm512_cvtepi32_ps(_mm512_add_epi32(products[r], offsets));
        product = _mm512_mul_ps(product, scales);
        product = _mm512_fmadd_ps(product, _mm512_set1_ps(factors[r]), bias);
        float *place = (float *)y + at;
        if (after == GELU) product = gelu(product);
        if (after == ADDED)
            product = _mm512_add_ps(product, _mm512_maskz_loadu_ps(mask, place));
#ifdef __AVX512BF16__
        if (after == HALF) {
            __m256i half = (__m256i)_mm512_cvtneps_pbh(product);
            _mm256_mask_storeu_epi16((uint16_t *)y + at, mask, half);
            continue;
        }
#endif
        _mm512_mask_storeu_ps(place, mask, product);
    }
}

/* Multiply a panel with the weights of the tiles from `tile` to `end` → [rows, out]. */
static void multiply_panel(int64_t rows, const uint8_t *panel, const float *factors,
                           const Matrix *matrix, int64_t tile, int64_t end, After after, void *y) {
    __m512i products[2 * PANEL];
    for (int tiles; tile < end; tile += tiles) {
        tiles = LEAST(end - tile, 2);
        MULTIPLIES[rows - 1][tiles - 1](panel, matrix->weight + tile * TILE * matrix->in,
                                        TILE * matrix->in, matrix->in / 4, products);
        for (int i = 0; i < tiles; i++) {
            const __m512i *given = products + i * PANEL;
            int64_t at = (tile + i) * TILE;
            switch (after) {
                case PLAIN: store(given, rows, factors, matrix, at, PLAIN, y); break;
                case GELU: store(given, rows, factors, matrix, at, GELU, y); break;
                case ADDED: store(given, rows, factors, matrix, at, ADDED, y); break;
                case HALF: store(given, rows, factors, matrix, at, HALF, y); break;
            }
        }
    }
}

/* Multiply panels of rows with the weights of the tiles from `tile` to `end`, two at a time. */
static void multiply_panels(int64_t count, const uint8_t *panels, const float *factors,
                            const Matrix *matrix, int64_t tile, int64_t end, After after, void *y) {
    int64_t bytes = matrix->out * (after == HALF ? sizeof(uint16_t) : sizeof(float));
    for (; tile < end; tile += 2)
        for (int64_t r = 0; r < count; r += PANEL)
            multiply_panel(LEAST(count - r, PANEL), panels + r * matrix->in, factors + r, matrix,
                           tile, LEAST(tile + 2, end), after, (char *)y + r * bytes);
}

static int64_t tiles_of(const Matrix *matrix) { return (matrix->out + TILE - 1) / TILE; }

/* Multiply up to CHUNK rows, normed if there is a norm, with all weights, in this thread. */
static void multiply_chunk(const float *x, int64_t count, const Norm *norm, const Matrix *matrix,
                           After after, void *y, uint8_t *panels) {
    float factors[CHUNK];
    quantize(x, count, norm, matrix, panels, factors);
    multiply_panels(count, panels, factors, matrix, 0, tiles_of(matrix), after, y);
}

/* Multiply this thread's share of the outputs, of up to CHUNK rows. */
static void multiply_share(const float *x, int64_t count, const Norm *norm, const Matrix *matrix,
                           After after, float *y, uint8_t *panels) {
    float factors[CHUNK];
    int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    int64_t tiles = tiles_of(matrix);
    quantize(x, count, norm, matrix, panels, factors);
    multiply_panels(count, panels, factors, matrix, tiles * thread / threads,
                    tiles * (thread + 1) / threads, after, y);
}
