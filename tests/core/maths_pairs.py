"""Pairs of a gold answer and a model's answer, by hand, in the forms that models write. Not a test by itself."""

DAILY_EQUAL = r"""
3:30\text{ p.m.} | 3:30 PM
12{:}05 | 12:05
1:4 | 1{:}4
\text{May 7} | May 7th
\text{May 7} | 7 May
\text{Thursday} | on Thursday
\text{ellipse} | The graph is an ellipse.
\$18.90 | \$18.90 \text{ per share}
\frac{(2n)!}{n!n!} | \frac{(2n)!}{n!\,n!}
3\sqrt{13} | 3\sqrt13
4210_{5} | {4210}_5
21000 | 21 000
540 | *540*
25 | 25 years old
x<-1 \text{ or } x>4 | x\in(-\infty,-1)\cup(4,\infty)
2\pi | 𝜋·2
12 | １２
\phi | \varphi
f(x)=\frac{1}{x} | y=1/x
|a+b| | |b+a|
\{\{1\},2\} | \{2,\{1\}\}
312, 123, 231 | 231, 312, 123
(69,840) | (69, 840)
(69,840) | 69, 840
27,54,108,135,189,216,270,297,351,378 | 378, 351, 297, 270, 216, 189, 135, 108, 54, 27
1,\!234 | 1234
1{,}234 | 1,234
12,345 | 12345
(1234, 5678) | (1,234, 5,678)
\$1,234.50 | 1234.50
(-\infty,2)\cup(3,\infty) | x<2 \text{ or } x>3
(-\infty,2)\cup(3,\infty) | x<2, x>3
(2,3) | x>2 \text{ and } x<3
(3,4] | x > 3 \text{ and } x \le 4
(3,4] | x > 3 and x <= 4
[-2,7] | x \geq -2 \text{ and } x \leq 7
(2,3)\cup(3,\infty) | x > 2 \text{ and } x \ne 3
(2,3)\cup(3,\infty) | x > 2, x \ne 3
\text{(C)} | (C) 12
\text{(C)} | C) 12
\text{(C)} | C. \frac12
\text{(C)} | \textbf{(C)}\ 12
\text{(C)} | Option C
\text{(C)} | C: the third
\frac34 | 3 quarters
12 | 12 quarters
300000 | 3 lakh
27 | = 27
\frac{14}{3} | = \frac{14}{3}
3, 5, 7 | 3\text{, }5\text{, and }7
(0,9)\cup(9,36) | (0,36)\setminus\{9\}
(-\infty,2)\cup(3,\infty) | \mathbb{R}\setminus[2,3]
18 | USD 18
60 | 60 m²
60 | 60 m
\frac13 | one third
\frac23 | two-thirds
\frac12 | one half
-50 | minus fifty
70000 | seventy thousand
240 | two hundred forty
240 | two hundred and forty
2.5 | two and a half
90 | 90˚
20\% | 20 per cent
20 | 20 per cent
(-\infty,3)\cap(1,\infty) | (1,3)
(1,3) | (1,2) \cup [2,3)
[0,1)\cup(1,2] | [0,2] \setminus \{1\}
[0,1)\cup(1,2] | 0\le x \le 2, x \ne 1
x<2 \text{ and } x>3 | x<2 \text{ and } x>3
2 \text{ and } 3 | 2, 3
2 \text{ and } 3 | x=2 and x=3
1, 2 | k \in \{1, 2\}
40_9 | 40 \text{ (base 9)}
$(6,3),(9,3),(9,5),(54,5)$ | (a,n) \in \{(6,3),(9,3),(9,5),(54,5)\}
$m_{\max }=n^{2}-n-1$ | m = n^2 - n - 1
\frac{\pi}{6}+\pi k | x = \frac{\pi}{6} + k\pi \text{ for } k \in \mathbb{Z}
\frac{\pi}{6}+\pi k | \frac{\pi}{6} + k\pi, k \in \mathbb{Z}
$\frac{d !}{2 k(d-k) !}$ | \frac{1}{2k}\cdot\frac{d!}{(d-k)!}
(-\sqrt{3}, \sqrt{3}) | |x|<\sqrt{3}
(-\sqrt{3}, \sqrt{3}) | x^2 < 3
[-1,3] | |x-1| \le 2
(-\infty,-2)\cup(2,\infty) | |x| > 2
$\binom{2n}{n}$ | {2n \choose n}
\frac{a+b}{2} | {a+b \over 2}
$\binom{2n}{n}$ | C(2n,n)
$f(x)=2 x$ | f(x)=2x \text{ for all } x
$f(n)=n$ | f(n) = n \quad \forall n \in \mathbb{Z}
$(-\infty, 0) \cup\{1\}$. | x<0 \text{ or } x=1
73 | m+n = 73
$\left\lfloor\log _{2} n\right\rfloor+1$ | 1+\lfloor\log_2(n)\rfloor
\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix} | (-2, -14, -7)
\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix} | \begin{pmatrix}-2 & -14 & -7\end{pmatrix}^T
-7 | f(-1)=-7
72 | 72 sq. units
1080 | $1,080/year
\text{A} | (A)
C | \text{C}
C | \textbf{(C)}
8 | \textbf{(A)}\ 8
8 | \mathrm{(A)}~8
\frac12 | \text{(D) }\frac{1}{2}
12 | (B) 12
12 | B. $12$
2.5 | \textbf{(C)}\ 2.5\text{ cm}
-3 | \text{(B)}\ -3
2\sqrt3 | $2\sqrt{3} \approx 3.46$ cm
2 \text{ hours} | two hours
\frac{5}{16} | \dfrac{5}{16} \approx 0.3125
1200 | $1,200.00 per month
7500 | \$7,500 a year
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \left[\begin{array}{cc} 1 & 2 \\ 3 & 4\end{array}\right]
\frac{7}{12} | \dfrac{7}{12}
\frac{7}{12} | \tfrac{7}{12}
\frac{7}{12} | 7/12
\frac{7}{12} | $\frac{7}{12}$
\frac{7}{12} | \( \frac{7}{12} \)
\frac{7}{12} | \frac 7{12}
\frac{7}{12} | \boxed{\frac{7}{12}}
\frac{7}{12} | \frac{14}{24}
\frac34 | 0.75
\frac34 | \frac{3}{4}
0.5 | \frac12
0.5 | 1/2
.35 | 0.35
0.35 | .350
-\frac{1}{2} | \frac{-1}{2}
-\frac{1}{2} | -\dfrac12
-\frac{1}{2} | -0.5
-\frac{1}{2} | \frac{1}{-2}
-\frac{1}{2} | (-1/2)
27.0 | 27
025 | 25
7 | 007
1234 | 1,234
1234 | 1{,}234
1,234 | 1234
12,\!345 | 12345
12,\!345 | 12,345
1,234,567 | 1234567
1{,}234{,}567 | 1\,234\,567
18 | 18.00
18 | 18.
18 | $18
18 | \$18
18 | 18 dollars
18 | \$18.00
\$18.50 | 18.5
\$18.50 | 18.50 dollars
\$32,\!500 | 32500
5 | x=5
5 | x = 5
x=5 | 5
x=5 | 5=x
n=12 | $n = 12$
k=3 | 3
5 | 5.
5 | **5**
5 | $5$
5 | \text{5}
5 | \mathbf{5}
5 | +5
5 | 5 \text{ cm}
5 | 5\text{cm}
5 | 5 cm
5 | 5\,\text{cm}
5 | 5\ \mathrm{cm}
5 \text{ cm} | 5
5 \text{ cm} | 5 centimeters
15\text{ cm}^2 | 15
15\text{ cm}^2 | 15 \text{ square centimeters}
15\mbox{ cm}^2 | 15\text{ cm}^2
15\text{ inches}^2 | 15 square inches
12 | 12 \text{ hours}
12 | 12 apples
40 | 40 students
60^\circ | 60
60^\circ | 60^{\circ}
60^\circ | 60°
60^\circ | 60 \text{ degrees}
60 | 60^\circ
60 | 60 degrees
45 | 45\%
45\% | 45
45\% | 45%
45\% | 45 percent
45\% | 0.45
\sqrt{51} | \sqrt {51}
\sqrt{5} | \sqrt5
2\sqrt{13} | 2 \sqrt{13}
2\sqrt{13} | \sqrt{52}
2\sqrt{13} | 2\cdot\sqrt{13}
2\sqrt{13} | \sqrt{13}\cdot 2
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}}
\frac{\sqrt{3}}{3} | \sqrt{3}/3
\frac{\sqrt3}{2} | \frac{1}{2}\sqrt{3}
\sqrt{\frac{1}{2}} | \frac{\sqrt{2}}{2}
11\sqrt2 | 11\sqrt{2}
1+2\sqrt{3} | 2\sqrt{3}+1
\frac{-1+\sqrt{5}}{2} | \frac{\sqrt{5}-1}{2}
\frac{3+\sqrt{21}}{2} | \frac{3}{2}+\frac{\sqrt{21}}{2}
5\sqrt[3]{4} | 5 \cdot 4^{1/3}
5\sqrt[3]{4} | 5 \cdot 4^{\frac{1}{3}}
\sqrt[3]{2} | 2^{1/3}
\frac{8}{\sqrt[3]{7}} | 8 \cdot 7^{-1/3}
\pi | 1\pi
12\pi | 12 \pi
12\pi | 12\cdot\pi
12\pi | \pi\cdot 12
\frac{\pi}{2} | \frac{1}{2}\pi
\frac{\pi}{2} | \pi/2
-\frac{\pi}{6} | \frac{-\pi}{6}
18+2\pi | 2\pi+18
18+2\pi | 2(\pi+9)
\frac{30000}{\pi} | 30000/\pi
288\pi | 288\pi \text{ cm}^3
6-5i | -5i+6
6-5i | 6 - 5 i
6+9i | 9i + 6
1-12i | 1 - 12i
p-q | -q+p
x^2-1 | (x-1)(x+1)
x^2-1 | (x + 1)(x - 1)
(a+5)(b+3) | (b+3)(a+5)
(a+5)(b+3) | ab+3a+5b+15
6t^2-4t-24 | -24 - 4t + 6t^2
6t^2-4t-24 | 2(3t^2-2t-12)
8n^2+4n+1 | 8n^{2}+4n+1
8n^2+4n+1 | 4n(2n+1)+1
x^3+3x-6 | x^3 + 3 x - 6
2k+2 | 2(k+1)
\frac{11+9a}{20} | \frac{9a+11}{20}
\frac{11+9a}{20} | \frac{11}{20}+\frac{9a}{20}
\frac{1}{2n+2} | \frac{1}{2(n+1)}
\frac{n(n+1)}{2} | \frac{n^2+n}{2}
\frac{n(n+1)}{2} | n(n+1)/2
2^{1009} | 2^{1009}
2^{k-1} | \frac{2^k}{2}
2^{n}-n-1 | 2^n - n - 1
2^{n}-n-1 | 2^n-(n+1)
\binom{2n}{n} | \frac{(2n)!}{(n!)^2}
5r^5 | 5 r^{5}
f^{-1}(x)=\frac{4x+3}{2-x} | \frac{4x+3}{2-x}
2x+1 | f^{-1}(x) = 2x+1
f(x)=2x | 2x
f(x)=2x | f(x) = 2 x
f(x)=\frac{1}{x} | f(x)=1/x
f(x)=\frac{1}{x} | \frac1x
y=2x+3 | y = 3 + 2x
y=2x+3 | 2x+3
y=-2x | y=-2 x
M=2^{N-3}+1 | 2^{N-3}+1
5x-7y+13z+4=0 | 5x - 7y + 13z = -4
5x-7y+13z+4=0 | -5x+7y-13z-4=0
2x+3y=6 | 3y+2x=6
(3,\frac{\pi}{2}) | \left(3,\frac{\pi}{2}\right)
(3,\frac{\pi}{2}) | \left( 3, \dfrac{\pi}{2} \right)
(3,\frac{\pi}{2}) | (3, \pi/2)
(-2,1) | (-2, 1)
(-2,1) | \left(-2,1\right)
(-2,1) | $(-2,1)$
(6,37,-1) | (6, 37, -1)
(\frac12,-13) | (0.5,-13)
\left( \frac{3}{2}, -13 \right) | (\frac32, -13)
(3,4] | \left(3,4\right]
(3,4] | (3, 4]
(2,\infty) | (2, \infty)
(2,\infty) | x > 2
(2,\infty) | (2,+\infty)
(2,\infty) | x\in(2,\infty)
(-\infty,0] | x \le 0
(-\infty,0] | \left(-\infty, 0\right]
[-2,7] | -2 \le x \le 7
x \in [-2,7] | [-2,7]
x \in [-2,7] | -2\leq x\leq 7
(0,9) \cup (9,49) | (0,9)\cup(9,49)
(0,9) \cup (9,49) | (9,49) \cup (0,9)
(-\infty,2) \cup (3,\infty) | (-\infty, 2)\cup(3, \infty)
(-\infty,2) \cup (3,\infty) | x<2 \text{ or } x>3
k \geqslant 2 | k \ge 2
k \geqslant 2 | k\geq 2
\{1,2,3\} | \{3,2,1\}
\{1,2,3\} | 1,2,3
1,2,3 | \{1,2,3\}
1,2,3 | 1, 2, 3
1,2,3 | 3, 2, 1
1,2,3 | 1, 2 \text{ and } 3
1,2,3 | 1, 2, and 3
1,-2 | -2, 1
1,-2 | x=1, x=-2
1,-2 | x=1 \text{ or } x=-2
1,-2 | x = 1, -2
1,-2 | 1 \text{ and } -2
1,-2 | 1 and -2
1 \pm \sqrt{19} | 1+\sqrt{19}, 1-\sqrt{19}
1+\sqrt{19}, 1-\sqrt{19} | 1 \pm \sqrt{19}
1 \pm \sqrt{19} | x = 1 \pm \sqrt{19}
\pm 3 | 3, -3
3,-3 | \pm 3
$5$,$-2$ | -2, 5
$5,-2$ | 5,-2
(1,1), (3,2) | (3,2),(1,1)
(1,1), (3,2) | \{(1,1),(3,2)\}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \begin{pmatrix}-2\\5\end{pmatrix}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \begin{bmatrix} -2 \\ 5 \end{bmatrix}
\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix} | \begin{pmatrix} \frac{1}{5} \\ -\frac{18}{5} \end{pmatrix}
\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix} | \frac{1}{5}\begin{pmatrix} 1 \\ -18 \end{pmatrix}
\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix} | \begin{bmatrix} -1 & 0 \\ 0 & -1 \end{bmatrix}
\text{east} | east
\text{Alice} | Alice
\text{Alice} | alice.
\text{Alice} | \textbf{Alice}
\text{even} | even
\text{(C)} | C
\text{(C)} | (C)
\text{(C)} | \text{C}
\text{(C)} | **(C)**
\text{ellipse} | \text{an ellipse}
37_8 | 37_{8}
37_{8} | $37_8$
37_8 | 37_{\text{eight}}
4210_{5} | 4210_5
3\frac{1}{2} | \frac{7}{2}
3\frac{1}{2} | 3.5
1\frac45 | \frac95
139 \frac{1}{2} | 139.5
\cot x | \frac{\cos x}{\sin x}
\cot x | \cot(x)
\cot x | \frac{1}{\tan x}
3R^2 | 3 R^{2}
10^{100} | 10^{100}
\frac{4}{9} | 4 / 9
-2 | - 2
-2 | −2
m n-\lfloor m/2\rfloor | mn - \lfloor \frac{m}{2} \rfloor
\left\lfloor\frac{2n-1}{5}\right\rfloor | \lfloor (2n-1)/5 \rfloor
\lceil n/2\rceil+1 | \lceil \frac{n}{2} \rceil + 1
\frac{d!}{2k(d-k)!} | \frac{d!}{2 \cdot k \cdot (d-k)!}
\log_2 3 | \frac{\ln 3}{\ln 2}
-\log_{10} 250 | -\log_{10}(250)
\frac{\log 2}{\log 2-\log 3} | \frac{\log 2}{\log(2/3)}
90^{\circ},60^{\circ} | 60^\circ, 90^\circ
a=2, a=-6 | 2, -6
\frac{1}{4},\frac{1}{27} | \frac{1}{27}, \frac14
5.6 \text{ cents} | 5.6
(\sqrt{3}, -\sqrt{3}) | \left(\sqrt{3}, -\sqrt{3}\right)
\left[\frac{\pi^2}{8},\frac{5\pi^2}{4}\right] | [\pi^2/8, 5\pi^2/4]
x^4+x^3+x^2+x+1 | 1+x+x^2+x^3+x^4
\frac{1-p^2}{3} | \frac{(1-p)(1+p)}{3}
4\pi^2-1 | -1+4\pi^2
\frac{27}{64} | \left(\frac{3}{4}\right)^3
8 | 2^3
36 | 6^2
10 | 10.0
70 | 70 \text{ mph}
726 \mbox{ inches}^2 | 726
\$36 | 36
3:2 | 3:2
8\% | 8%
8\% | 8
-\frac{37}{9} | -\frac{37}{9}
\frac{290}7\text{ degrees} | \frac{290}{7}
\frac{290}7\text{ degrees} | \frac{290}{7}^\circ
3 \text{ and } 5 | 3, 5
\frac{100!}{2^{50}} | \frac{100!}{2^{50}}
(2,4) | (x,y)=(2,4)
(2,4) | x=2, y=4
(2,4) | 2, 4
3, 5 | 3; 5
3, 5 | $3$, $5$
15 \text{ in}^2 | 15 \text{ square inches}
15 km/h | 15
15 cents | 15¢
6 - 7i | 6-7\mathrm{i}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \begin{pmatrix} -2 \\[2pt] 5 \end{pmatrix}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \left(\begin{array}{c} -2 \\ 5 \end{array}\right)
9 | \large 9
9 | The answer is 9
9 | \text{The answer is } 9
9 | The total is 9.
9 | Answer: 9
52_8 | (52)_8
x^2+4y^2=4 | \frac{x^2}{4}+y^2=1
(135^\circ, 60^\circ) | (135, 60)
12 | \text{12 sheep}
ab+bc+ca | ac + ab + bc
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | x=\frac{\pi}{4}+\pi k, k\in\mathbb Z
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | x=\frac{\pi}{4}+k\pi \quad (k\in\mathbb{Z})
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | \frac{\pi}{4}+k\pi \text{ where } k \in \mathbb{Z}
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | pi/4 + k*pi, k is an integer
B, D | \text{B, D}
3:15 \text{ p.m.} | 3\!:\!15 \text{ p.m.}
413 | 413 in base 10
413 | 413_{10}
8:1 | \textbf{(D)}\ 8:1
"""

DAILY_UNEQUAL = r"""
3:30\text{ p.m.} | 3:30 AM
3:30\text{ p.m.} | 3:31 PM
1:4 | 4:1
\text{May 7} | May 8
\text{May 7} | June 7
\$5 | 5 \text{ cents per share}
5\text{ km} | 5 \text{ km per hour}
|a|+|b| | |a+b|
\{1,2\} | \{\{1\},\{2\}\}
2000 | 2000\text{ BC}
5 | -x=5
3 | 3 \text{ quarters}
2.5 | 2.5\text{K}
123_4 | 123_{44}
5 | 5 \text{ is wrong}
\frac{dy}{dx} | \frac{y}{x}
f(x)=2x | g(x)=2x
f^{-1}(x)=2x | f(x)=2x
f^{-1}(x)=2x+1 | 2x-1
(2,251,252) | 2251252
(100,200) | 100200
(100,200) | \{100,200\}
312, 123, 231 | 312123231
(2,12)\cup(12,102) | (2,12)\cup 12102
(1,1006),(3,331),(11,31) | (1,1006),3331,(11,31)
69,840 | (69,840)
(69,840) | 69,840
(-\infty,2)\cup(3,\infty) | x<2 \text{ and } x>3
(2,3) | x>2 \text{ or } x<3
\text{(C)} | c \cdot 2
\text{(C)} | C - D
\text{(B)} | B = A
\text{(E)} | E = mc^2
\text{(B)} | B'
\text{(C)} | (C) or (D)
5 | 5 squared
5 | 5 cubed
5 | 5 factorial
5 | 5 root
5 | 5 square roots
3 | 3 halves
2 | 2 thirds
3 | 3 quarters
3 | 3 tenths
3 | 3 hundredths
3 | 3 lakh
3 | 3 crore
3 | 3 scores
(1,3) | (1,2) \cup (2,3)
(1,3) | (1,2),(2,3)
C | \text{D}
c | \text{C}
5 | \text{m}
8 | \textbf{(A)}
8 | \textbf{(A)}\ 9
8 | \text{(A)}\ 8, \text{(B)}\ 9
8 | \text{(A) or (B)}\ 8
8 | \text{(A)} \cdot 8
1 | \text{(A)} + 1
8 | (A) + 8
3 | \text{(B)} -3
2\sqrt3\text{ m} | $2\sqrt{3} \approx 3.46$ cm
\frac13 | 1/3 \approx 0.33 or more
1, 2 | k \in \{1, 3\}
\dfrac{17}{50} | 0.34\%
$m_{\max }=n^{2}-n-1$ | m_{\max} = n^2 - n
$\frac{d !}{2 k(d-k) !}$ | \frac{d!}{k(d-k)!}
$(6,3),(9,3)$ | (a,n) \in \{(3,6),(3,9)\}
$\left\lfloor\log _{2} n\right\rfloor+1$ | \lceil\log_2 n\rceil
(-\sqrt{3}, \sqrt{3}) | |x| \le \sqrt{3}
(-\sqrt{3}, \sqrt{3}) | |x| > \sqrt{3}
[-1,3] | |x+1| \le 2
5 | 2x = 5
5 | x + 1 = 5
73 | m+n = 74
$(-\infty, 0) \cup\{1\}$. | x<0 \text{ or } x=-1
\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix} | (-2, -7, -14)
\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix} | \begin{pmatrix}-2 & -14 & -7\end{pmatrix}
$f(x)=2 x$ | f(x)=3x \text{ for all } x
2 | two thirds
2 | two hundred
\text{A} | (B)
0.31 | \frac{5}{16} \approx 0.31
\frac{5}{16} | x \approx \frac{5}{16}
52_8 | 52_9
52_8 | 52
52 | 52_8
52_8 | 42
1/2004! | 1/2006!
\frac{1}{3} | 0.333
\frac{1}{3} | 0.33
\frac{2}{3} | 0.667
\sqrt{2} | 1.414
\sqrt{2} | 1.4142135623730951
\pi | 3.14
\pi | 3.14159
\pi | 22/7
5.6 \text{ cents} | 5.6 \text{ dollars}
5 \text{ cm} | 5 \text{ m}
5\text{ cm}^2 | 5 \text{ cm}
5 km | 5 miles
10 \text{ hours} | 10 \text{ minutes}
60^\circ | 60 \text{ radians}
\$5 | 5\%
\$5 | 5 cents
1,-2 | 1,2
1,-2 | 1
1,-2 | -2
1,2 | 1,2,3
1,2,3 | 1,2
5 | 5,6
5 | 5 or 6
5 | 5 \text{ or } 6
5 | not 5
5 | approximately 5
5 | about 5
5 | \approx 5
5 | 5?
5 | maybe 5
5 | 
5 | ?
5 | {}
5 | 2x=5
5 | 5x
5 | x>5
5 | x \ne 5
5 | -5
5 | 6
5 | 50
5 | 0.5
5 | 5!
5 | 5i
5 | 5^2
5 | \frac15
5 | 5\pi
5 | 4 < x < 5
5 | 5 million
5 | 5 dozen
5 | 5 hundred
5 | 5x=5
5 | \pm 5
5 | [5,6]
x=5 | x=-5
x=5 | y=5
x=5 | x=6
(3,4) | (4,3)
(3,4) | [3,4]
(3,4] | [3,4)
(3,4] | (3,4)
(3,4) | (3,4,5)
(1,2,3) | (1,3,2)
(1,2,3) | 1,3,2
(1,2,3) | \{1,2,3\}
(2,\infty) | [2,\infty)
(2,\infty) | x \ge 2
(2,\infty) | x < 2
(2,\infty) | (-\infty, 2)
(2,\infty) | (2,3)
(-\infty,2)\cup(3,\infty) | (-\infty,2)
(-\infty,2)\cup(3,\infty) | (-\infty,2]\cup[3,\infty)
[-2,7] | -2 < x < 7
x^2-1 | x^2+1
x^2-1 | (x-1)^2
x^2-1 | y^2-1
x^2-1 | x^3-1
x^2+2x | x^2+2
2k+2 | 2k+1
p-q | q-p
p+q | p-q
6-5i | 6+5i
6-5i | -5+6i
f(x)=2x | f(x)=x
f(x)=2x | f(x)=x^2
f(x)=2x | x
y=2x+3 | y=2x-3
y=2x+3 | y=3x+2
2x+3y=6 | 3x+2y=6
2\sqrt{13} | 2\sqrt{31}
2\sqrt{13} | 3\sqrt{12}
2\sqrt{13} | \sqrt{13}
\sqrt{51} | 51
\sqrt{51} | \sqrt{15}
\sqrt[3]{4} | \sqrt{4}
12\pi | 12
12\pi | 6\pi
\frac{\pi}{2} | \frac{\pi}{3}
\frac{\pi}{2} | \frac{2}{\pi}
\frac{\pi}{2} | 90^\circ
\frac{7}{12} | \frac{12}{7}
\frac{7}{12} | -\frac{7}{12}
\frac{7}{12} | \frac{7}{13}
\frac{7}{12} | 712
\frac{7}{12} | 7
1\frac45 | \frac45
1\frac45 | \frac{4}{5}
3\frac{1}{2} | \frac{3}{2}
1234 | 1,2,3,4
1234 | 12,34
1,234 | 1.234
12345 | 1234
\text{Alice} | Bob
\text{Alice} | Alice or Bob
\text{Alice} | not Alice
\text{even} | odd
\text{(C)} | (B)
\text{(C)} | (C) or (B)
\text{(C)} | A, B, C
\text{east} | west
kenya beth | beth kenya
\{1,2,3\} | \{1,2,4\}
\{1,2\} | \{1,2,3\}
1\pm\sqrt{19} | 1+\sqrt{19}
1\pm\sqrt{19} | 1\pm\sqrt{17}
1\pm\sqrt{19} | -1\pm\sqrt{19}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \begin{pmatrix} 5 \\ -2 \end{pmatrix}
\begin{pmatrix} -2 \\ 5 \end{pmatrix} | \begin{pmatrix} -2 & 5 \end{pmatrix}
\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix} | \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}
(1,1), (3,2) | (1,1), (2,3)
(1,1), (3,2) | (1,1)
2^{1009} | 2^{1010}
2^{1009} | 2^{1008}
10^{100} | 10^{99}
\binom{2n}{n} | \binom{2n}{n+1}
\frac{n(n+1)}{2} | \frac{n(n-1)}{2}
\lfloor n/2 \rfloor | \lceil n/2 \rceil
\lfloor n/2 \rfloor | n/2
\cot x | \tan x
\log_2 3 | \log_3 2
\log_{10} 100 | \ln 100
10^{-200}+\sqrt2 | \sqrt2
e^{\pi\sqrt{163}} | 262537412640768744
45\% | 45.5
45\% | 4.5
0.45 | 45
3:2 | 2:3
k \ge 2 | k > 2
k \ge 2 | k \le 2
90^{\circ},60^{\circ} | 90^\circ, 30^\circ
a=2, b=3 | a=3, b=2
-2,-2 | -2
4 \text{ and } 6 | 4 \text{ and } 5
16 | 16 \text{ or } 8
16 | 8, 16
16 | 16^\circ + 1
11/2 | 1 1/2
3 1/2 | 31/2
100 | 10^{10}
x+y | xy
ab | a+b
2n | n^2
5 | 5+
5 | \sim 5
5 | 5 or so
5 | at least 5
5 | 4.99999999999
5 | \text{five or six}
5 | 5/0
0 | 10^{-300}
0 | \sin(10^{-30})
1 | 0.99999
\pi^4+\pi^5 | e^6
10^{50} | 10^{50}+1
\sqrt{10} | \pi
(2,4) | x=4, y=2
15\mbox{ cm}^2 | 15 \text{ cm}^3
12 | 1 2
5x-7y=4 | 5x-7y-4
x \in [-2,9] | y \in (-2,9)
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | x=\frac{\pi}{4}+k\pi
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | x=\frac{\pi}{4}+2k\pi, k\in\mathbb Z
x = \frac{\pi}{4} + k\pi, k \in \mathbb{Z} | x=\frac{\pi}{4}+n\pi, k\in\mathbb Z
\emptyset | {∅}
\emptyset | \{\emptyset\}
413 | 413_{8}
413_{8} | 413_{10}
8:1 | \textbf{(D)}\ 1:8
"""

RARE_EQUAL = r"""
1 \pm \sqrt{19} | 1 +/- sqrt(19)
\frac{5}{13} | ⁵⁄₁₃
2.5 \times 10^{3} | \mathbf{2.5 \times 10^{3}}
52_8 | 52 in base 8
10,\!080 | 7!\times 2!=10,\!080
28 | \frac{8!}{6!2!}
12 \text{ million} | 12,000,000
2500000 | 2.5 million
\mathbb{R} | (-\infty,\infty)
(-\infty,3)\cup(3,\infty) | x \ne 3
(-\infty,-1)\cup(-1,2)\cup(2,\infty) | \mathbb{R} \setminus \{2, -1\}
25 | twenty-five
0.\overline{3} | \frac{1}{3}
\frac{1}{3} | 0.\overline{3}
\frac{1}{3} | 0.333...
\frac{1}{3} | 0.\dot{3}
\frac{4}{33} | 0.\dot{1}\dot{2}
\frac{41}{333} | 0.\dot{1}2\dot3
\frac{1}{6} | 0.1\overline{6}
\frac{1}{6} | 0.1666...
\frac{1}{7} | 0.\overline{142857}
\frac{1}{7} | 0.142857142857...
\frac{41}{33} | 1.\overline{24}
\frac{1}{3} | 0.(3)
11\frac{5}{6} | 11 5/6
11 5/6 | \frac{71}{6}
1 4/5 | 9/5
\frac32 | 1½
\frac12 | ½
\frac{11}{4} | 2¾
90 | 90°
90^\circ | 90°
\sqrt{51} | √51
\sqrt{51} | √(51)
3\sqrt{13} | 3√13
\frac{\sqrt{2}}{2} | √2/2
\frac{\sqrt{2}}{2} | sqrt(2)/2
\frac{\sqrt{2}}{2} | 1/sqrt(2)
\frac{1+\sqrt5}{2} | (1+√5)/2
\frac{1+\sqrt5}{2} | (1 + sqrt(5))/2
\frac{\pi}{2} | π/2
\frac{\pi}{4} | pi/4
12\pi | 12π
12\pi | 12*pi
2\pi r | 2πr
x^2+1 | x²+1
x^2+1 | x^2 + 1
x^2+1 | x**2 + 1
x^3-2x | x³ − 2x
x^{10} | x^10
x^{10} | x¹⁰
6 | 2×3
6 | 2*3
6 | 2·3
7 | 2*3+1
7 | 2 \cdot 3 + 1
120 | 5!
45 | \binom{10}{2}
2\sqrt3 | 2*sqrt(3)
-\frac12 | −1/2
-\frac12 | −½
(-\infty,2] | x ≤ 2
(-\infty,2] | x <= 2
[3,\infty) | x ≥ 3
(2,\infty) | {x>2}
(2,\infty) | \{x \mid x > 2\}
(2,\infty) | \{x : x > 2\}
(2,\infty) | (2, ∞)
(2,\infty) | (2, infinity)
(2,\infty) | (2, inf)
(2,3)\cup(5,7) | (2,3) ∪ (5,7)
(2,3)\cup(5,7) | (2,3) U (5,7)
[-2,7] | -2 <= x <= 7
(3,\frac{\pi}{2}) | (3, π/2)
(3,\frac{\pi}{2}) | (3, pi/2)
320000 | 3.2 x 10^5
320000 | 3.2 \times 10^5
320000 | 3.2 × 10⁵
320000 | 3.2e5
320000 | 3.2 * 10^5
320000 | 3.2 \cdot 10^{5}
0.0000672 | 6.72e-5
0.0000672 | 6.72 \times 10^{-5}
0.0000672 | 6.72 × 10^-5
.0000672 | 6.72E-5
6.02\times10^{23} | 6.02 x 10^23
6.02\times10^{23} | 6.02e23
1 \pm \sqrt{19} | 1 ± √19
1 \pm \sqrt{19} | 1 ± sqrt(19)
\{1\pm\sqrt{5},-2\} | -2, 1+\sqrt{5}, 1-\sqrt{5}
\{1\pm\sqrt{5},-2\} | \{-2, 1 + √5, 1 - √5\}
(\pm 3, 4) | (3,4),(-3,4)
\theta = \frac{\pi}{3} | θ = π/3
37_8 | 37₈
37_8 | 37 (base 8)
37_8 | 37 base 8
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | [[1, 2], [3, 4]]
\frac{1}{7}\begin{pmatrix} 2 & 1 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 2/7 & 1/7 \\ 3/7 & 4/7 \end{pmatrix}
5 | five
5 | 5th
5 | 10/2
5 | \sqrt{25}
5 | 2+3=5
5 | x = 10/2 = 5
\log_2 8 | 3
\frac{1}{2} | \sin 30^\circ
\frac{1}{2} | \cos(\pi/3)
e^2 | exp(2)
e^{2} | e²
2^{10} | 1024
1024 | 2^10
\frac{a}{b} | a/b
\frac{x+1}{x-1} | (x+1)/(x-1)
|x-3| | \left|x-3\right|
|x-3| | abs(x-3)
\sqrt{6}-\sqrt{2} | \sqrt{2}(\sqrt{3}-1)
\sqrt{3+2\sqrt{2}} | 1+\sqrt{2}
\frac{1}{\sqrt{2}+1} | \sqrt{2}-1
i | \sqrt{-1}
2i | (1+i)^2
\sin 2x | 2\sin x\cos x
\cos 2x | 1 - 2\sin^2 x
\arctan 1 | \frac{\pi}{4}
\tan^{-1} 1 | \pi/4
\ln 8 | 3\ln 2
\frac{4 \cdot 997^{4}}{27} | 147556 - \frac{1}{27} + \frac{4 \cdot 997^{4}}{27} + \frac1{27} - 147556
"""

RARE_UNEQUAL = r"""
\frac{5}{13} | ⁵⁄₁₂
1 \pm \sqrt{19} | 1 +/- sqrt(17)
12 | 12 million
12 \text{ million} | 12 billion
12 | 1! 2
(-\infty,3)\cup(3,\infty) | x \ne 2
(-\infty,3)\cup(3,\infty) | \mathbb{R}
(-\infty,3)\cup(3,\infty) | \mathbb{R} \setminus \{2, 3\}
25 | twenty five or six
0.\overline{3} | 0.3
\frac{1}{3} | 0.3...
\frac{1}{3} | 0.\overline{34}
\frac{1}{6} | 0.\overline{16}
\pi | 3.14159...
\pi | π²
\frac{\pi}{2} | 2π
\frac{\pi}{2} | pi/3
\sqrt{51} | √15
\sqrt{51} | √5 1
\frac{\sqrt2}{2} | sqrt(2)
\frac{\sqrt2}{2} | sqrt(2/2)
\frac12 | ⅓
\frac32 | 1⅓
320000 | 3.2 x 10^4
320000 | 3.2e6
320000 | 3.2 \times 10^{-5}
0.0000672 | 6.72e-4
0.0000672 | 6.72e5
x^2+1 | x³+1
x^2+1 | 2x+1
x^{10} | 10x
7 | 2*3+2
7 | 2*(3+1)
120 | 6!
(2,\infty) | (2, -∞)
(2,\infty) | {x<2}
(2,\infty) | {x≥2}
(-\infty,2] | x < 2
[-2,7] | -2 <= x < 7
1 \pm \sqrt{19} | 1 + √19
1 \pm \sqrt{19} | 1 ± √18
37_8 | 37₉
37_8 | 37 base 9
37_8 | 31 (base 10)
11\frac56 | 11 6/5
11 5/6 | 55/6
1 4/5 | 4/5
90^\circ | 90 rad
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | [[1, 3], [2, 4]]
\frac{1}{7}\begin{pmatrix} 2 & 1 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 2 & 1 \\ 3 & 4 \end{pmatrix}
5 | fifteen
5 | 2+3=6
5 | \sqrt{24}
2i | (1-i)^2
\sin 2x | 2\sin x
\ln 8 | 2\ln 3
e^2 | 2e
e^2 | 7.389
2^{10} | 1023
|x-3| | x-3
\sqrt{x^2} | x
\sqrt{3+2\sqrt2} | 1+\sqrt3
(\pm 3, 4) | (3,4)
n! | (n+1)!
\frac{1}{2004!} | \frac{1}{2005!}
2^{2004} | 2^{2005}
10^{-300} | 10^{-301}
10^{-300}\sqrt{2} | 10^{-301}\sqrt{2}
3x^2 | (3x)^2
-x^2 | (-x)^2
1/2x | 1/(2x)
2^{3^2} | (2^3)^2
a^{b+c} | a^b+c
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """The (gold, answer) pairs of a table. The first ` | ` parts them."""
    found = []
    for line in table.strip("\n").splitlines():
        gold, _, answer = line.partition(" | ")
        found.append((gold, answer))
    return found
