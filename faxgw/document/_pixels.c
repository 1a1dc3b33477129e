/* What is done with every pixel of a page, in C: text to black and white, and the page to ITU-T T.6. See native.py.
 *
 * It does what halftone.py (threshold, counting tones) does with numpy and libtiff.py with libtiff, which stay in use
 * where no compiler is at hand; tests compare their results octet by octet.
 *
 * Built without any header but the C library's: cc -O2 -fPIC -shared -o libfaxgwpixels.so _pixels.c
 */
#include <stdint.h>
#include <string.h>

#ifndef PIXELS_VERSION
#define PIXELS_VERSION ""
#endif

enum {
    MAX_WIDTH = 4096, /* pixels of a row; a fax has 1,728 to 2,432 */
    BLOCK = 8,        /* as halftone.BLOCK */
    ROW_MARGIN = 64   /* octets that a row's code may take beyond seven bits a pixel */
};

typedef struct {
    uint16_t bits;
    uint8_t length;
} code;

#define EACH 0x0101010101010101ull

/* Runs: ITU-T T.4 tables 2, 3a and 3b */
static const code WHITE[] = {
    {0x35, 8}, {0x7, 6}, {0x7, 4}, {0x8, 4}, {0xb, 4}, {0xc, 4}, {0xe, 4}, {0xf, 4}, {0x13, 5}, {0x14, 5}, {0x7, 5},
    {0x8, 5}, {0x8, 6}, {0x3, 6}, {0x34, 6}, {0x35, 6}, {0x2a, 6}, {0x2b, 6}, {0x27, 7}, {0xc, 7}, {0x8, 7},
    {0x17, 7}, {0x3, 7}, {0x4, 7}, {0x28, 7}, {0x2b, 7}, {0x13, 7}, {0x24, 7}, {0x18, 7}, {0x2, 8}, {0x3, 8},
    {0x1a, 8}, {0x1b, 8}, {0x12, 8}, {0x13, 8}, {0x14, 8}, {0x15, 8}, {0x16, 8}, {0x17, 8}, {0x28, 8}, {0x29, 8},
    {0x2a, 8}, {0x2b, 8}, {0x2c, 8}, {0x2d, 8}, {0x4, 8}, {0x5, 8}, {0xa, 8}, {0xb, 8}, {0x52, 8}, {0x53, 8},
    {0x54, 8}, {0x55, 8}, {0x24, 8}, {0x25, 8}, {0x58, 8}, {0x59, 8}, {0x5a, 8}, {0x5b, 8}, {0x4a, 8}, {0x4b, 8},
    {0x32, 8}, {0x33, 8}, {0x34, 8},
};
static const code BLACK[] = {
    {0x37, 10}, {0x2, 3}, {0x3, 2}, {0x2, 2}, {0x3, 3}, {0x3, 4}, {0x2, 4}, {0x3, 5}, {0x5, 6}, {0x4, 6}, {0x4, 7},
    {0x5, 7}, {0x7, 7}, {0x4, 8}, {0x7, 8}, {0x18, 9}, {0x17, 10}, {0x18, 10}, {0x8, 10}, {0x67, 11}, {0x68, 11},
    {0x6c, 11}, {0x37, 11}, {0x28, 11}, {0x17, 11}, {0x18, 11}, {0xca, 12}, {0xcb, 12}, {0xcc, 12}, {0xcd, 12},
    {0x68, 12}, {0x69, 12}, {0x6a, 12}, {0x6b, 12}, {0xd2, 12}, {0xd3, 12}, {0xd4, 12}, {0xd5, 12}, {0xd6, 12},
    {0xd7, 12}, {0x6c, 12}, {0x6d, 12}, {0xda, 12}, {0xdb, 12}, {0x54, 12}, {0x55, 12}, {0x56, 12}, {0x57, 12},
    {0x64, 12}, {0x65, 12}, {0x52, 12}, {0x53, 12}, {0x24, 12}, {0x37, 12}, {0x38, 12}, {0x27, 12}, {0x28, 12},
    {0x58, 12}, {0x59, 12}, {0x2b, 12}, {0x2c, 12}, {0x5a, 12}, {0x66, 12}, {0x67, 12},
};
static const code WHITE_MAKE_UP[] = {
    {0x1b, 5}, {0x12, 5}, {0x17, 6}, {0x37, 7}, {0x36, 8}, {0x37, 8}, {0x64, 8}, {0x65, 8}, {0x68, 8}, {0x67, 8},
    {0xcc, 9}, {0xcd, 9}, {0xd2, 9}, {0xd3, 9}, {0xd4, 9}, {0xd5, 9}, {0xd6, 9}, {0xd7, 9}, {0xd8, 9}, {0xd9, 9},
    {0xda, 9}, {0xdb, 9}, {0x98, 9}, {0x99, 9}, {0x9a, 9}, {0x18, 6}, {0x9b, 9}, {0x8, 11}, {0xc, 11}, {0xd, 11},
    {0x12, 12}, {0x13, 12}, {0x14, 12}, {0x15, 12}, {0x16, 12}, {0x17, 12}, {0x1c, 12}, {0x1d, 12}, {0x1e, 12},
    {0x1f, 12},
};
static const code BLACK_MAKE_UP[] = {
    {0xf, 10}, {0xc8, 12}, {0xc9, 12}, {0x5b, 12}, {0x33, 12}, {0x34, 12}, {0x35, 12}, {0x6c, 13}, {0x6d, 13},
    {0x4a, 13}, {0x4b, 13}, {0x4c, 13}, {0x4d, 13}, {0x72, 13}, {0x73, 13}, {0x74, 13}, {0x75, 13}, {0x76, 13},
    {0x77, 13}, {0x52, 13}, {0x53, 13}, {0x54, 13}, {0x55, 13}, {0x5a, 13}, {0x5b, 13}, {0x64, 13}, {0x65, 13},
    {0x8, 11}, {0xc, 11}, {0xd, 11}, {0x12, 12}, {0x13, 12}, {0x14, 12}, {0x15, 12}, {0x16, 12}, {0x17, 12},
    {0x1c, 12}, {0x1d, 12}, {0x1e, 12}, {0x1f, 12},
};

/* Vertical modes, the coding line's change 3 to the right of the reference line's, ... 3 to the left: T.4 table 4 */
static const code VERTICAL[] = {{0x3, 7}, {0x3, 6}, {0x3, 3}, {0x1, 1}, {0x2, 3}, {0x2, 6}, {0x2, 7}};
static const code HORIZONTAL = {0x1, 3}, PASS = {0x1, 4}, END_OF_LINE = {0x1, 12};

typedef struct {
    uint8_t *at;
    uint64_t waiting; /* the lowest `count` bits are not yet written */
    int count;        /* below 8 between codes */
} writer;

const char *pixels_version(void) { return PIXELS_VERSION; }

static void put(writer *w, code c) {
    w->waiting = w->waiting << c.length | c.bits;
    w->count += c.length;
    while (w->count >= 8) {
        w->count -= 8;
        *w->at++ = (uint8_t)(w->waiting >> w->count);
    }
}

static void put_run(writer *w, int length, int black) {
    const code *make_up = black ? BLACK_MAKE_UP : WHITE_MAKE_UP;
    for (; length >= 2560 + 64; length -= 2560) put(w, make_up[39]);
    if (length >= 64) put(w, make_up[length / 64 - 1]);
    put(w, (black ? BLACK : WHITE)[length % 64]);
}

static uint64_t word_at(const uint8_t *octets, int length) {
    uint64_t word = 0;
    if (length >= 8) {
        memcpy(&word, octets, 8);
        return __builtin_bswap64(word);
    }
    for (int i = 0; i < length; i++) word |= (uint64_t)octets[i] << (56 - 8 * i);
    return word;
}

/* Columns where the colour changes, beginning with white; then `width` often enough for every look ahead. */
static void find_changes(const uint8_t *row, int width, uint16_t *changes) {
    uint64_t before = 0; /* the last pixel, in the highest bit */
    int octets = width / 8;
    for (int at = 0; at < octets; at += 8) {
        uint64_t word = word_at(row + at, octets - at);
        uint64_t differs = word ^ (word >> 1 | before);
        int here = 8 * at;
        if (octets - at < 8) differs &= ~(~0ull >> 8 * (octets - at));
        while (differs) {
            int skip = __builtin_clzll(differs);
            *changes++ = (uint16_t)(here + skip);
            differs &= ~(1ull << (63 - skip));
        }
        before = word << 63;
    }
    for (int i = 0; i < 4; i++) *changes++ = (uint16_t)width;
}

/* One row in two dimensions: T.4 section 4.2.1.3. */
static void put_row(writer *w, const uint16_t *coding, const uint16_t *reference, int width) {
    int a0 = -1, black = 0, i = 0, j = 0;
    while (a0 < width) {
        int a1 = coding[i], b1, b2, apart;
        if ((j & 1) != black) j += j ? -1 : 1; /* one back: the colour has turned */
        while (reference[j] <= a0 && reference[j] < width) j += 2;
        b1 = reference[j];
        b2 = b1 < width ? reference[j + 1] : width;
        if (b2 < a1) {
            put(w, PASS);
            a0 = b2;
            continue;
        }
        apart = a1 - b1;
        if (apart >= -3 && apart <= 3) {
            put(w, VERTICAL[3 - apart]);
            a0 = a1;
            black = !black;
            i++;
        } else {
            int a2 = a1 < width ? coding[i + 1] : width;
            put(w, HORIZONTAL);
            put_run(w, a1 - (a0 < 0 ? 0 : a0), black);
            put_run(w, a2 - a1, !black);
            a0 = a2;
            i += 2;
        }
    }
}

/* A page to T.6, with the end of the facsimile block; how many octets it took, or -1 when there is no room. */
int64_t pixels_t6(const uint8_t *packed, int width, int rows, uint8_t *out, int64_t room) {
    uint16_t changes[2][MAX_WIDTH + 4];
    writer w = {out, 0, 0};
    if (width < 8 || width > MAX_WIDTH || width % 8 || rows < 1) return -1;
    for (int i = 0; i < 4; i++) changes[1][i] = (uint16_t)width;
    for (int row = 0; row < rows; row++) {
        if (room - (w.at - out) < width * 7 / 8 + ROW_MARGIN) return -1;
        find_changes(packed + (int64_t)row * (width / 8), width, changes[row & 1]);
        put_row(&w, changes[row & 1], changes[!(row & 1)], width);
    }
    put(&w, END_OF_LINE);
    put(&w, END_OF_LINE);
    if (w.count) put(&w, (code){0, (uint8_t)(8 - w.count)});
    return w.at - out;
}

/* Of eight octets at once the highest bit: whether each is at least `least`, 1 to 255. */
static uint64_t at_least(uint64_t eight, int least) {
    uint64_t sums = (eight & 0x7f * EACH) + EACH * (unsigned)(128 - least % 128);
    return (least < 128 ? eight | sums : eight & sums) & 0x80 * EACH;
}

/* Pixels darker than `threshold` as bits, and how many of each block of 8 x 8 are tones from `low` to `high`; all
 * three are 1 to 254. `width` is a multiple of 8; a block that the page does not fill has fewer. */
void pixels_look(const uint8_t *grey, int width, int rows, int threshold, int low, int high, uint8_t *bits,
                 uint8_t *tones) {
    int wide = width / BLOCK;
    memset(tones, 0, (size_t)wide * (size_t)((rows + BLOCK - 1) / BLOCK));
    for (int row = 0; row < rows; row++) {
        uint8_t *count = tones + (row / BLOCK) * wide;
        for (int block = 0; block < wide; block++, grey += BLOCK) {
            uint64_t eight, black, toned;
            memcpy(&eight, grey, 8);
            if (eight == ~0ull) { /* white, as most of a page is */
                *bits++ = 0;
                continue;
            }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            eight = __builtin_bswap64(eight);
#endif
            black = (~at_least(eight, threshold) & 0x80 * EACH) >> 7;
            *bits++ = (uint8_t)(black * 0x8040201008040201 >> 56); /* the first octet to the highest bit */
            toned = (at_least(eight, low) & ~at_least(eight, high + 1)) >> 7;
            count[block] = (uint8_t)(count[block] + (toned * EACH >> 56));
        }
    }
}
