/* Made by tests/front_end/check.py --fix of sources 379dee5992e74785984de1e3474ba314a211ff181c0f7bbd68154e95ff9c8d25 */
var gs=Object.defineProperty;var at=(t,e)=>{for(var s in e)gs(t,s,{get:e[s],enumerable:!0})};var ie={ΔW:"s·B·A: what an adapter adds to the frozen weight W₀ of its layer",blocks:"the transformer blocks that h\
old adapters: what each one adds is carried on by all that follow",zone:"the rules’ word for the run at a step, from hea\
lthy to exploding: it follows from the open alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an \
adapter adds to what its layer gives","depth-scaled output ratio":"the 90th percentile of output_ratio over adapters × d\
epth",depth:"transformer blocks × √(adapted modules of a block / 6), the root at most 1",delta_norm:"‖ΔW‖: Frobenius \
norm of the adapter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·\
Σlr·√(d_out·r/3): what Adam reaches from the default start if every step agrees",drift_norm:"‖ΔW − ΔW at the start‖\
: what was learned where the adapter did not begin at zero",spectral_norm:"σ₁(ΔW): the largest singular value of the ada\
pter update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"\
σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp o\
f the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, s\
teadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of \
the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the o\
ptimizer, after clipping",step_norm:"‖ΔW now − ΔW one step before‖: how far one optimizer step goes",magnitude_norm:"\
‖m‖: norm of DoRA’s magnitudes",magnitude_drift:"how far the DoRA magnitude that moved most has gone since the sta\
rt",a_changed:"share of 64 numbers of A that the last update changed; below 1 where rounding loses updates",b_changed:"s\
hare of 64 numbers of B that the last update changed; below 1 where rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ \
of the base weight: 0, since it is frozen",scale:"s: the live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s\
 · lr: scale × learning rate of the parameter group that holds B",lr:"learning rate of the first parameter group",loss:"\
mean training loss of the whole optimizer step, NaN kept",expected:"the loss that the run’s own course predicts for the \
step",gain:"share of its start that the loss has lost: (start − mean of the last five) / start",overhead:"share of the\
 wall time since training began that the monitor took, as in report.json",adapters:"LoRA modules that are monitored",step:"\
optimizer steps done",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖W₀‖: F\
robenius norm of the frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base weight",
group:"index of the optimizer’s parameter group",spectrum:"all singular values σ of ΔW, largest first",max:"the larg\
est of any adapter",p90:"90th percentile over adapters",median:"median over adapters",verdict:"the alert that the rules \
put first, else their word for the run",end:"the run’s own word for its end",steps:"optimizer steps done, of those pla\
nned","loss, mean of five":"mean of the last five losses; gain: the share of its start that it has lost","‖ΔW‖, largest":"\
Frobenius norm of the adapter update ΔW, the largest of any adapter","‖ΔW‖, median":"Frobenius norm of the adapter\
 update ΔW, median over adapters",alerts:"episodes by severity: one cause makes one alert, which opens, lasts and close\
s",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as in lora-w\
atch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst first, an\
d how many more",Colour:"the colours compare values, each adapter with itself, or adapters with each other at a step",Rows:"\
rows next to each other: modules of a kind, or those of a block","Stand out":"adapters that have left their own median, \
and the others, by half or more at the step; broken ones first",Kind:"kind of the adapted layer","W₀":"the frozen base\
 weight, rows × columns","B · A":"the factors of the adapter update, rows × columns",Trainable:"trainable numbers of \
the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singular values",
A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"the run step by step: gain of the loss against de\
pth-scaled output ratio, in the colours of its zones"},pt=t=>Object.hasOwn(ie,t)?ie[t]:void 0,ws=[[/^output_ratio$/,"rat\
io of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"direct\
ions"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],[/^scale$/,
"s"]],le=t=>ws.find(([e])=>e.test(t))?.[1];var ys="http://www.w3.org/2000/svg";function he(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var x=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>he(document.
createElement(t),e,s),b=(t,e,...s)=>he(document.createElementNS(ys,t),e,s),V=(t,e,s,n,r={})=>b("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),et=(t,e,s)=>b("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function $(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,o]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${o.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var it=t=>$(t,1e-4);function U(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var bs={lr:"learning rate",b:"B",rslora:"rsLoRA",dora:"DoRA",adalora:"AdaLoRA",non:"non-"},L=t=>{let e=t.
split(/[-_]/).map(s=>bs[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:e.charAt(0).toUpperCase()+
e.slice(1)},O={bubble(){let t=document.getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.
body.append(t),t},show(t,...e){let s=this.bubble();s.replaceChildren(...e.flat().filter(a=>a!=null&&a!==!1).map(a=>a instanceof
Node?a:c("div",null,a))),s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,o=t.clientX+16+n<innerWidth;s.style.
left=`${Math.max(4,o?t.clientX+14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}\
px`},under(t,...e){let{left:s,bottom:n}=t.getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.
bubble().style.display="none"}},st=t=>({tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.
preventDefault(),e.stopPropagation(),t(e))}}),lt=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("\
span",null,e),c("b",null,s)),j=["ERROR","WARNING","INFO"],ce={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-\
4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z"},ct=t=>ce[t]??ce.INFO,R=(t,e=14)=>b("svg",{class:`severity ${F(t)}`,viewBox:"\
-7 -7 14 14",width:e,height:e,"aria-hidden":"true"},b("path",{d:ct(t)})),F=t=>j.includes(t)?t.toLowerCase():"info";function S(t,e=t){
let s=pt(e);return s?nt(t,s):t}function nt(t,e,s={}){let n=({currentTarget:o})=>{O.under(o,e),o.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:o})=>{O.hide(),o.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:o=>{o.preventDefault(),o.stopPropagation(),n(o)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:o=>{o.key==="Escape"&&(o.stopPropagation(),r(o))}},t)}function Tt(t){if(t.length<=16)return t;
let e=Math.min(10,Math.floor(t.length/2)),s=[c("span",null,t.slice(0,-e)),c("span",null,t.slice(-e))];return nt(s,t,{class:"\
middle","aria-label":t})}var I=(t,e,...s)=>c("section",{class:"card"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"\
note"},e)),s),rt=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(s=>c("li",null,s))),xs=700;function C(t,e,s=16,n=xs){if(t<
n)return{widths:e.map(()=>t),style:"grid-template-columns:minmax(0,1fr)"};let r=e.reduce((i,l)=>i+l,0),o=t-s*(e.length-1),
a=e.map(i=>Math.floor(o*i/r));return{widths:a,style:`grid-template-columns:${a.map(i=>`${i}px`).join(" ")}`}}function de(t,e){
let s=document.activeElement,n=s?.matches("input[type=search]")&&t.contains(s)&&e.querySelector(`#${s.id}`);if(!n)return t.
replaceChildren(...e.childNodes);let[r,o]=[t,e];for(;r!==s;){let[a,i]=[r,o].map(d=>[...d.children].find(u=>u.contains(d===
r?s:n)));if(!a||!i)return t.replaceChildren(...e.childNodes);for(let d of[...r.childNodes])d!==a&&d.remove();let l=[...o.
childNodes],h=l.indexOf(i);a.before(...l.slice(0,h)),a.after(...l.slice(h+1)),a!==s&&a.setAttribute("style",i.getAttribute(
"style")??""),[r,o]=[a,i]}}var qt={};at(qt,{draw:()=>An,title:()=>Nn});var vs=t=>{let e=t==null?"":String(t),s=typeof t=="string"&&/^[=+\-@\t\r]/.test(e)?`'${e}`:e;return/[",\n\r]/.test(s)?`"${s.
replaceAll('"','""')}"`:s};function gt(t){let e=t.filter(({matrix:i})=>i?.columns),s=e.some(({matrix:i})=>i.pooled),n=new Map;
for(let[i,{matrix:l,column:h=0}]of e.entries())for(let d=0;d<l.columns;d++){let u=`${l.first[d]} ${l.last[d]}`;n.has(u)||
n.set(u,{first:l.first[d],last:l.last[d],cells:[]});let f=d*l.n+h;n.get(u).cells[i]=l.flags[f]&4?null:[l.low[f],l.high[f]]}
let r=e.flatMap(({name:i})=>s?[`${i} lowest`,`${i} highest`]:[i]),o=[...s?["first step","last step"]:["step"],...r],a=[...n.
values()].sort((i,l)=>i.first-l.first||i.last-l.last).map(({first:i,last:l,cells:h})=>[...s?[i,l]:[i],...e.flatMap((d,u)=>s?
h[u]??[null,null]:[h[u]?.[1]])]);return ht([o,...a])}var ht=t=>t.map(e=>`${e.map(vs).join(",")}
`).join("");function ue(t,e){let s=c("a",{href:URL.createObjectURL(t),download:e.replaceAll(/[^\p{L}\p{N}._-]+/gu,"-")});
s.click(),setTimeout(()=>URL.revokeObjectURL(s.href),1e4)}var $s=["fill","stroke","stroke-width","stroke-dasharray","str\
oke-opacity","opacity","display"],Ms=["font-family","font-size","font-weight","letter-spacing","text-anchor","paint-orde\
r"];async function ks(t){let{width:e,height:s}=t.getBoundingClientRect(),n=c("canvas",{width:Math.round(2*e),height:Math.
round(2*s)}),r=n.getContext("2d");if(r.fillStyle=getComputedStyle(t.closest(".card")??document.body).backgroundColor,r.fillRect(
0,0,n.width,n.height),t instanceof HTMLCanvasElement)r.drawImage(t,0,0,n.width,n.height);else{let o=t.cloneNode(!0),a=t.
querySelectorAll("*");for(let[l,h]of o.querySelectorAll("*").entries()){let d=getComputedStyle(a[l]);for(let u of[...$s,
...Ms])h.style.setProperty(u,d.getPropertyValue(u))}o.setAttribute("xmlns","http://www.w3.org/2000/svg");let i=new Image;
i.src=`data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(o))}`,await i.decode(),r.drawImage(
i,0,0,n.width,n.height)}return new Promise(o=>n.toBlob(o))}var J=(t,e)=>c("span",{class:"export"},c("button",{class:"csv",
title:`save ${t} as CSV`,onclick:()=>ue(new Blob([e()]),`${t}.csv`)},"CSV"),c("button",{class:"png",title:`save ${t} as \
PNG`,onclick:async({currentTarget:s})=>{let n=s.closest(".card").querySelector("svg.chart, svg.picture, #heat");ue(await ks(
n),`${t}.png`)}},"PNG"));var dt=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),wt=class t{constructor(e,s,n,r){let[o,
a]=e.shape;this.columns=o,this.n=a,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.range=e.range,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.
bytes=(s===n?5:9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().
decode(new Uint8Array(e,4,s))),r=n.shape[0]*n.shape[1],o=4+s,a=new Float32Array(e,o,r);n.pooled&&(o+=4*r);let i=n.pooled?
new Float32Array(e,o,r):a;return new t(n,a,i,new Uint8Array(e,o+4*r,r))}window({from:e=-1/0,to:s=1/0,adapter:n,max_cols:r=1/0}){
let o=Array.from(this.first.keys()).filter(g=>this.last[g]>=e&&this.first[g]<=s),a=n==null?Array.from({length:this.n},(g,y)=>y):
[n],i=Math.max(1,Math.ceil(o.length/r)),l=Array.from({length:Math.ceil(o.length/i)},(g,y)=>o.slice(y*i,(y+1)*i)),h=l.length*
a.length,d=this.pooled||i>1,u=new Float32Array(h),f=d?new Float32Array(h):u,m=new Uint8Array(h);l.forEach((g,y)=>{a.forEach(
(w,v)=>{let _=g.map(A=>A*this.n+w),E=y*a.length+v,M=A=>_.map(W=>A[W]).filter(Number.isFinite),[N,k]=[M(this.low),M(this.
high)];f[E]=N.length?Math.min(...N):this.low[_[0]],u[E]=k.length?Math.max(...k):this.high[_[0]],m[E]=_.reduce((A,W)=>A|this.
flags[W]&3,0),_.every(A=>this.flags[A]&4)&&(m[E]|=4)})});let p={shape:[l.length,a.length],first:l.map(g=>this.first[g[0]]),
last:l.map(g=>this.last[g[g.length-1]]),pooled:d,width:this.width*i,rows:o.length===this.columns?this.rows:o.length*this.
width,range:this.range,notes:this.notes};return new t(p,f,u,m)}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+
1>>1;this.first[r]<=e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.
n+s;return this.flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.
last[this.columns-1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.
first[e]-s)/(n*this.width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.
max(0,Math.min(.999999,e))*n*this.width)}say(e,s,n){let r=e*this.n+s,o=this.low[r],a=this.high[r],i=this.flags[r];return[
Number.isFinite(a)?o===a?n(a):`${n(o)} … ${n(a)}`:"",i&&dt(i)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],
n=this.last[e];return s===n?`step ${s}`:`steps ${s}–${n}`}};function D(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),o=[1,2,5,10].map(i=>i*
r).find(i=>i>=n*.999)??10*r,a=[];for(let i=Math.ceil(t/o)*o;i<=e+o*1e-9;i+=o)a.push(Number(i.toPrecision(12)));return a}
function Y(t,e,s=6){let n=o=>{let a=[];for(let i=Math.floor(t);i<=Math.ceil(e);i++)for(let l of o)Math.log10(l)+i>=t-1e-9&&
Math.log10(l)+i<=e+1e-9&&a.push(+`${l}e${i}`);return a},r=n([1]);return r.length>=3?r.filter((o,a)=>a%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(o=>o.length>1&&o.length<=s)??(r.length>1?r:D(10**t,10**e,s/2))}var H=(t,{left:e,right:s},n,r=it)=>t.
flatMap(o=>[b("line",{x1:e,x2:s,y1:n(o),y2:n(o),class:"grid"}),b("text",{x:e-6,y:n(o)+x(4),"text-anchor":"end"},r(o))]),
z=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function _s(t,e){
let{width:s,height:n,step:r,alerts:o=[]}=e,a=t.filter(Ns),i=t.map(y=>y.name).join(", "),l=V("chart",s,n,i,o.length?{role:"\
group"}:{});if(!a.length)return l.append(et(s/2,n/2,e.empty??"not logged in this run")),l;let h=As(a,e),{X:d,x0:u,x1:f,top:m,
foot:p}=h;l.append(...Ws(h,e),...Is(h,e.thresholds??[]));let g=[];for(let y of a)l.append(...Ts(y,h,g));return l.append(
...Ls(h,e.discarded??[])),r!=null&&r>=u&&r<=f&&l.append(b("line",{x1:d(r),x2:d(r),y1:m,y2:p,class:"cursor"})),l.append(...Fs(
h,o,e.onAlert)),Rs(l,a,h,e),l}var Ns=({matrix:t,column:e=0,dash:s})=>t&&Array.from(t.first).some((n,r)=>Number.isFinite(
t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function As(t,e){let{width:s,height:n,alerts:r=[]}=e,o=x(58),a=s-x(12),i=r.length?
20:10,l=n-x(22),[h,d]=e.range??[Math.min(...t.map(v=>v.matrix.first[0])),Math.max(...t.map(v=>v.matrix.last.at(-1)))],u=({
matrix:v,column:_=0})=>Array.from({length:v.columns},(E,M)=>v.high[M*v.n+_]).some(E=>E>0&&E<1/0),f=e.log&&t.some(u),m=f?
v=>v>0?Math.log10(v):NaN:v=>v,[p,g]=Es(Os(Ss(t,m,h,d),e.thresholds,m,f),e.zero,f);return{left:o,right:a,top:i,foot:l,x0:h,
x1:d,log:f,to:m,low:p,high:g,X:v=>o+(d===h?(a-o)/2:(v-h)/(d-h)*(a-o)),Y:v=>l-(Math.max(p,Math.min(g,v))-p)/(g-p)*(l-i)}}
function Ss(t,e,s,n){let r=1/0,o=-1/0;for(let{matrix:a,column:i=0}of t)for(let l=0;l<a.columns;l++){if(a.last[l]<s||a.first[l]>
n)continue;let h=e(a.low[l*a.n+i]),d=e(a.high[l*a.n+i]);h<r&&h>-1/0&&(r=h),d>o&&d<1/0&&(o=d),d<r&&d>-1/0&&(r=d)}return[r,
o]}function Os([t,e],s=[],n,r){for(let{value:o}of s){let a=n(o);r&&a>e&&a-e<1&&(e=a+.05),r&&a<t&&t-a<1&&(t=a-.05)}return[
t,e]}function Es([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(
e))){let o=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-o,e+o]}let r=(e-t)*.06;return[s&&t===0?t:t-r,e+r]}function Ws({left:t,
right:e,top:s,foot:n,x0:r,x1:o,log:a,to:i,low:l,high:h,X:d,Y:u},{height:f,term:m}){let p=n-s,g=a?Y(l,h,Math.max(2,p/x(18))):
D(l,h,Math.max(2,p/x(32))),y=D(r,o,(e-t)/x(62)).filter(Number.isInteger),w=[le(m??""),a&&"log"].filter(Boolean).join(", "),
v=`translate(${x(10)},${s+p/2})rotate(-90)`;return[...H(g,{left:t,right:e},_=>u(i(_))),...y.map(_=>b("text",{x:d(_),y:f-
5,"text-anchor":"middle"},_)),b("text",{class:"axis-name",x:t-8,y:f-5,"text-anchor":"end"},"step"),b("text",{class:"axis\
-name","text-anchor":"middle",transform:v},w)]}var Is=({left:t,right:e,to:s,low:n,high:r,Y:o},a)=>a.map(({value:i,name:l})=>({
v:s(i),name:l})).filter(({v:i})=>i>=n&&i<=r).flatMap(({v:i,name:l})=>[b("line",{x1:t,x2:e,y1:o(i),y2:o(i),class:"thresho\
ld"}),b("text",{x:e-2,y:o(i)-3,"text-anchor":"end",class:"threshold"},l)]),Ls=({top:t,foot:e,x0:s,x1:n,X:r},o)=>o.map(([
a,i])=>({first:a,last:i,from:Math.max(s,a-.5),until:Math.min(n,i+.5)})).filter(({from:a,until:i})=>i>a).map(({first:a,last:i,
from:l,until:h})=>{let d=a<i?`steps ${a} to ${i} were discarded`:`step ${i} was discarded`,u={x:r(l),y:t,width:r(h)-r(l),
height:e-t},f=`M${r(h)} ${t+6}H${r(l)}m5 -4l-5 4l5 4`;return b("g",{class:"discarded"},b("title",null,d),b("rect",u),b("\
path",{d:f}))});function Fs({top:t,foot:e,x0:s,x1:n,X:r},o,a){let i=o.filter(l=>l.step>=s&&l.step<=n);return i.flatMap((l,h)=>{
let d=i.slice(0,h).filter(({step:y})=>y===l.step).length,u=Math.min(n,l.closed_step==null?n:l.last_step),f=F(l.severity),
m={x:r(l.step),y:7.5,width:r(u)-r(l.step),height:3,class:`held severity ${f}`},p={class:`mark severity ${f}`,"aria-label":`${l.
severity} ${l.name} at step ${l.step}`,transform:`translate(${r(l.step)+13*d},9)`,...st(y=>{y.stopPropagation(),a?.(l)}),
onpointermove:y=>{y.stopPropagation();let w=c("b",null,`${l.severity} ${l.rule} ${l.name}`);O.show(y,w,`step ${l.step}`,
l.message)}},g=!d&&b("path",{d:`M0 6V${e-t+11}`,class:"stem"});return[...u>l.step?[b("rect",m)]:[],b("g",p,g,b("path",{d:ct(
l.severity)}))]})}function Rs(t,e,{left:s,right:n,top:r,foot:o,x0:a,x1:i,X:l},{width:h,onStep:d,onZoom:u}){let f=b("line",
{y1:r,y2:o,class:"hover"}),m=b("rect",{y:r,height:o-r,class:"select"});t.append(f,m);let p=w=>{let v=t.getBoundingClientRect(),
_=(w.clientX-v.left)*(h/v.width);return Math.round(a+Math.max(0,Math.min(1,(_-s)/(n-s)))*(i-a))},g=null,y=w=>g&&Math.abs(
w.clientX-g.x)>5;t.addEventListener("pointerdown",w=>{u&&(g={x:w.clientX,step:p(w)})}),t.addEventListener("pointermove",
w=>{let v=p(w);g&&y(w)&&(t.hasPointerCapture(w.pointerId)||t.setPointerCapture(w.pointerId),m.setAttribute("x",Math.min(
l(v),l(g.step))),m.setAttribute("width",Math.abs(l(v)-l(g.step))),m.style.display="block"),f.setAttribute("x1",l(v)),f.setAttribute(
"x2",l(v)),f.style.display="block",O.show(w,`step ${v}`,Cs(e,v))}),t.addEventListener("pointerleave",()=>{f.style.display=
"none",O.hide()}),t.addEventListener("pointercancel",()=>{g=null,m.style.display="none"}),t.addEventListener("click",w=>{
let v=y(w)?g?.step:null,_=p(w);g=null,v==null?d?.(_):v!==_&&u(Math.min(v,_),Math.max(v,_))})}var Cs=(t,e)=>t.map(({matrix:s,
column:n=0,colour:r,name:o})=>s.first[0]>e?null:lt(r,o,s.say(s.columnOf(e),n,$)));function Ts(t,{X:e,Y:s,to:n,x0:r,x1:o,
top:a,foot:i},l){let{matrix:h,column:d=0,colour:u,dash:f,thin:m}=t,p=[],g="",y=!1,w="",v="",_=[],E=[],M=[],N=()=>{_.length>
1&&M.push(`M${_.join("L")}L${E.reverse().join("L")}Z`),_.length=E.length=0};for(let k=0;k<h.columns;k++){let A=(h.first[k]+
h.last[k])/2;if(h.last[k]<r||h.first[k]>o)continue;let W=k*h.n+d,P=e(A).toFixed(1);!f&&h.flags[W]&3&&(p.at(-1)?.column===
k-1?Object.assign(p.at(-1),{column:k,to:e(A)}):p.push({column:k,from:e(A),to:e(A),kind:`${t.letter?`${t.letter}: `:""}${h.
flags[W]&1?"NaN":"Inf"}`}));let Z=n(h.low[W]),X=n(h.high[W]);if(!Number.isFinite(X)){y=!1,v+=w,w="",N();continue}let ot=Number.
isFinite(Z)?s((Z+X)/2):s(X);g+=`${y?"L":"M"}${P} ${ot.toFixed(1)}`,y?w="":w=`M${P} ${ot.toFixed(1)}h.01`,y=!0,h.pooled&&
(_.push(`${P} ${s(X).toFixed(1)}`),E.push(`${P} ${(Number.isFinite(Z)?s(Z):i).toFixed(1)}`))}return N(),[M.length&&b("pa\
th",{d:M.join(""),class:"band",style:`fill:${u};stroke:${u}`}),b("path",{d:g,class:m?"line thin":"line","stroke-dasharra\
y":f,style:`stroke:${u}`}),v+w&&b("path",{d:v+w,class:"lone",style:`stroke:${u}`}),...p.filter(({from:k,to:A})=>!l.some(
W=>W.from<=k&&A<=W.to)&&l.push({from:k,to:A})).map(({from:k,to:A,kind:W})=>b("g",{class:"broken"},b("rect",{x:k-1.5,width:A-
k+3,y:a,height:i-a}),b("rect",{class:"foot",x:k-1.5,width:A-k+3,y:i-6,height:6}),b("text",{x:k+3,y:i-10},W)))].filter(Boolean)}
var js=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),
S(e.name)))),q=(t,e,s,n)=>I(S(t,n.term),[e,J(t,()=>gt(s))],(n.legend??s.length>1)&&js(s),_s(s,n));var jt=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),me="waiting for the first\
 step",pe="no step was made",Bt=t=>t===me||t===pe,Bs={unknown:"faint","non-finite":"broken",diverged:"c4"};function ut(t,e,s){
let n=t.zones?.[e?.at(s)];if(!n)return null;let r=n.severity?F(n.severity):n.name==="healthy"?"ok":"info";return{name:n.
name,head:L(n.name),text:n.text,kind:r,colour:Bs[n.name]??r}}var ft=({loss:t,loss_start:e,loss_recent:s},n)=>Number.isFinite(
t?.at(n)??0)?1-s?.at(n)/e?.at(n):Number.NaN;async function yt(t,e){let s=["output_ratio","relative_spectral_norm"].find(
M=>t.runs[e].metrics.includes(M)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?me:pe;if(!s){let M=t.
runs[e].step?"the output ratio was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:M}}let o={max_cols:400},
[a,{alerts:i},l,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(s,o,e),t.series("loss_recent",o,e)]),d=jt(
a),u=l.first.findIndex((M,N)=>l.flags[N*l.n]&3),f=u<0?void 0:l.first[u],m=h?.columns?[...new Set([...l.last,h.last.at(-1)])].
filter(M=>M>=h.first[0]):[],[p,g]=await Promise.all([t.spread(s,{at:m},e),t.seriesOf(["loss","loss_start","loss_recent",
"zone"],{at:m},e)]),y=m.sort((M,N)=>M-N).map(M=>({step:M,gain:ft(g,M),ratio:d*p.at(M,1),zone:ut(a,g.zone,M)})).filter(({
gain:M,ratio:N})=>Number.isFinite(M)&&N>0),w=z(i),v=([M,N],{step:k})=>M<=k&&k<=N,_=y.filter(M=>!w.some(N=>v(N,M))),E=w.map(
M=>y.filter(N=>v(M,N)));return{metric:s,points:_,strays:E,depth:d,broken:f,missing:_.length?null:zs(t.runs[e],u<0?null:l.
steps(u),r)}}var zs=({series:t,step:e},s,n)=>e===0?n:t.includes("loss")?s?`NaN since ${s}`:"too few steps":"the loss is \
unknown";function fe(t){let e=Math.max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),
o=t.slice(n-r,n+r+1),a=i=>o.reduce((l,h)=>l+i(h),0)/o.length;return{...s,gain:a(i=>i.gain),ratio:Math.exp(a(i=>Math.log(
i.ratio)))}})}function Ps(t,e,s,{X:n,Y:r,left:o,right:a}){let i=n(e.gain),l=r(e.ratio),h=Us(t,n,r).filter(p=>Math.abs(p.
y-l)<x(14)),d=p=>h.filter(g=>(g.x-i)*p>2&&(g.x-i)*p<s).length,u=p=>p>0?i+s<a:i-s>o,f=u(1)?u(-1)&&d(-1)<d(1)?-1:1:-1;if(!d(
f))return[f,0];let m=h.filter(p=>(p.x-i)*f>2).map(p=>p.y-l);return[f,m.reduce((p,g)=>p+g,0)>0?-x(11):x(11)]}var Us=(t,e,s)=>t.
flatMap((n,r)=>{let o=t[r-1]??n,a={x:e(o.gain),y:s(o.ratio)},i={x:e(n.gain),y:s(n.ratio)},l=Math.ceil(Math.hypot(i.x-a.x,
i.y-a.y)/6)||1;return Array.from({length:l},(h,d)=>({x:a.x+(i.x-a.x)*(d+1)/l,y:a.y+(i.y-a.y)*(d+1)/l}))});function bt(t,e){
let{width:s,height:n,metric:r,step:o,onStep:a}=e,i=r==="output_ratio"?"depth-scaled output ratio":"σ₁(ΔW) / σ₁(W₀) × dep\
th",l=t.map(f=>({...f,smoothed:fe(f.points),strayed:(f.strays??[]).map(fe)})),h=l.flatMap(({smoothed:f,strayed:m})=>[f,...m].
flat()),d=Ds(h,s,n),u=V("picture",s,n,`${i} against improvement of the loss`);u.append(...Vs(d,i,n)),t.length===1&&t[0].
missing&&u.append(Hs(d,t[0].missing));for(let f of l.filter(({smoothed:m})=>m.length))u.append(...qs(f,d),...Gs(f,d,o,t.
length===1));return u.append(...Zs(l,d)),Js(u,l,d,i,a),u}function Ds(t,e,s){let n=x(56),r=e-x(20),o=x(12),a=s-x(40),i=t.
map(g=>g.gain),l=t.map(g=>Math.log10(g.ratio)),h=Math.max(-1,Math.min(-.2,...i.map(g=>g*1.12))),d=Math.min(1,Math.max(.4,
...i.map(g=>g*1.15))),u=Math.max(-4,Math.min(...l.length?l:[-1])-.3),f=Math.min(5,Math.max(...l.length?l:[1])+.3);return{
left:n,right:r,top:o,bottom:a,x0:h,x1:d,y0:u,y1:f,X:g=>n+(Math.max(h,Math.min(d,g))-h)/(d-h)*(r-n),Y:g=>a-(Math.max(u,Math.
min(f,Math.log10(g)))-u)/(f-u)*(a-o)}}function Vs({left:t,right:e,top:s,bottom:n,x0:r,x1:o,y0:a,y1:i,X:l,Y:h},d,u){let f=e-
t,m=`translate(${x(12)},${(s+n)/2})rotate(-90)`;return[b("rect",{x:t,y:s,width:f,height:n-s,class:"frame"}),...H(Y(a,i),
{left:t,right:e},h),...D(r,o,Math.max(4,f/x(70))).map(p=>b("text",{x:l(p),y:n+x(15),"text-anchor":"middle"},U(p))),b("li\
ne",{x1:l(0),x2:l(0),y1:s,y2:n,class:"axis"}),b("text",{x:e,y:u-6,"text-anchor":"end",class:"axis-name"},"gain: loss bel\
ow its start →"),b("text",{class:"axis-name","text-anchor":"middle",transform:m},`${d}, p90, log`)]}var Hs=({left:t,right:e,
top:s,bottom:n},r)=>et((t+e)/2,(s+n)/2,Bt(r)?r:`no path: ${r}`);function qs({colour:t,letter:e,points:s,smoothed:n,strayed:r},{
X:o,Y:a}){let i=f=>`${o(f.gain).toFixed(1)} ${a(f.ratio).toFixed(1)}`,l=f=>f.map((m,p)=>`${p?"L":"M"}${i(m)}`).join(""),
h=l(n),d=`stroke:${t}`,u=({zone:f},m)=>f&&m&&b("path",{d:`M${i(n[m-1])}L${i(n[m])}`,class:`trace zone ${f.kind}`,style:`\
stroke:var(--${f.colour})`});return[b("path",{class:"trace-raw",style:d,d:s.map(f=>`M${i(f)}h.01`).join("")}),...r.map(f=>b(
"path",{d:l(f),class:"trace stray",style:d},b("title",null,`steps ${f[0]?.step} to ${f.at(-1)?.step}, discarded`))),b("p\
ath",{d:h,class:"trace-halo"}),b("path",{d:h,class:"trace",style:d}),...e?[]:n.map(u).filter(Boolean)]}function Gs({colour:t,
letter:e,broken:s,smoothed:n},r,o,a){let i=(u,f,m,p)=>{let{X:g,Y:y}=r,[w,v]=Ps(n,u,x(14)+(p?.length??0)*x(7),r);return b(
"g",{class:m,style:`--c:${t}`,transform:`translate(${g(u.gain).toFixed(1)},${y(u.ratio).toFixed(1)})`},b("circle",{r:x(f)}),
p&&b("text",{x:w*x(f+5),y:x(4)+v,"text-anchor":w<0?"end":"start"},p))},l=n[n.length-1],h=s>=l.step,d=o==null?null:n.findLast(
u=>u.step<=o);return[...(a?Ks(n,r):[]).map(u=>i(u,2.6,"stop",`step ${u.step}`)),n.length>1&&i(n[0],3.5,"begin",e?null:"s\
tart"),!e&&i(l,6,h?"end gone":"end",`step ${l.step}${h?", then NaN":""}`),d&&d!==l&&i(d,5,"now",`step ${o}`)].filter(Boolean)}
function Ks(t,{X:e,Y:s}){let n=[t[0],t[t.length-1]];if(t.length<12)return[];for(let r of[.1,.25,.5,.75]){let o=t[Math.round(
(t.length-1)*r)];n.some(a=>Math.hypot(e(a.gain)-e(o.gain),s(a.ratio)-s(o.ratio))<x(44))||n.push(o)}return n.slice(2)}function Zs(t,{
X:e,Y:s}){let n=[],r=x(8);return t.flatMap(({colour:o,letter:a,smoothed:i})=>{let l=a&&i.at(-1);if(!l)return[];let h=e(l.
gain),d=s(l.ratio);for(;n.some(m=>Math.hypot(m.x-h,m.y-d)<2*r);)d+=2;n.push({x:h,y:d});let u=b("path",{class:"line",style:`\
stroke:${o}`,d:`M${h} ${s(l.ratio)}V${d}`}),f=b("g",{class:"lettered",style:`--c:${o}`,transform:`translate(${h.toFixed(
1)},${d.toFixed(1)})`},b("circle",{r}),b("text",{y:x(4),"text-anchor":"middle"},a));return d===s(l.ratio)?[f]:[u,f]})}function Js(t,e,{
X:s,Y:n},r,o){let a=i=>{let l=t.getBoundingClientRect(),h=f=>Math.hypot(s(f.gain)-(i.clientX-l.left),n(f.ratio)-(i.clientY-
l.top)),u=e.flatMap(f=>f.smoothed.map(m=>({...m,name:f.name,far:h(m)}))).reduce((f,m)=>m.far<f.far?m:f,{far:30});return"\
step"in u?u:null};t.addEventListener("pointermove",i=>{let l=a(i);if(!l)return O.hide();O.show(i,e.length>1&&c("b",null,
l.name),`step ${l.step}: ${l.zone?.head.toLowerCase()??"zone not recorded"}`,`${r} ${$(l.ratio)}`,`gain ${U(l.gain)}`)}),
t.addEventListener("pointerleave",()=>O.hide()),t.addEventListener("click",i=>{let l=a(i);l&&o&&o(l.step)})}function zt(t){return t.closed_step==null?1/0:t.last_step-t.step+1}var xt=t=>`${t.rule}@${t.step}`,Pt=(t,e)=>t.closed_step==
null?e?"to the end":"still open":`${zt(t)} step${t.last_step>t.step?"s":""}`;async function ge(t,e,s,n){let r=e.adapters?.[0]&&
t.adapters.find(({name:o})=>o===e.adapters[0].name);return c("section",{class:`card detail ${F(e.severity)}`,id:"detail"},
c("header",null,R(e.severity,16),c("h2",null,L(e.name)),c("span",{class:"note"},`${e.rule} · step ${e.step} · ${Pt(e,s)}`)),
c("p",{class:"message"},e.message),Xs(t,e),ye("Likely causes",e.causes,"ol"),await tn(t,e,r,n),c("div",{class:"actions"},
c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.
run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),sn(t,e))}var we=(t,e)=>t.adapters.find(
s=>s.name===e)?.short??e,ye=(t,e,s)=>e?.length?[c("h3",null,t),c(s,{class:"advice"},e.map(n=>c("li",null,String(n))))]:null;
function Ys(t,e){let s=[...t.matchAll(/(?:→ |=)([\d.]+(?:e[+-]?\d+)?)/g)].map(([,n])=>Number(n));return e.every(n=>s.includes(
n))}function Xs(t,e){let s=(e.remedies??[]).map(String),n=Object.values(e.settings??{}).filter(i=>typeof i=="number"),r=n.
length?s.findIndex(i=>Ys(i,n)):-1,o=Qs(t,e,s[r]),a=ye("Try",s.filter((i,l)=>l!==r),"ul");return r>0?[a,o]:[o,a]}function Qs(t,e,s){
let n=Object.entries(e.settings??{}).filter(([,a])=>typeof a=="number");if(!n.length)return null;let r={lora_alpha:t.adapters[0]?.
alpha,learning_rate:t.schema.peak_lr?.[0]},o=n.map(([a,i])=>`${a}=${i}`).join(", ");return c("div",{class:"settings",id:"\
settings"},c("h3",null,"Run again with"),n.map(([a,i])=>c("div",{class:"setting"},c("span",{class:"mono"},a),Number.isFinite(
r[a])&&r[a]!==i&&[c("s",null,it(r[a])),c("span",{"aria-hidden":"true"},"→")],c("b",null,it(i)))),c("button",{class:"qu\
iet",id:"copy",onclick:async a=>{let i=a.currentTarget;try{await navigator.clipboard.writeText(o),i.textContent="copied"}catch{
i.textContent=o}}},"copy"),s&&c("p",{class:"note"},s))}async function tn(t,e,s,n){let{metric:r}=e,o=t.run.metrics.includes(
r),a=t.window(400),i=null;return o&&s?i={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...a})}:t.run.
series.includes(r)&&(i={name:r,matrix:await t.series(r,a)}),i?q(i.name,null,[{...i,colour:"var(--c1)"}],{term:r,width:n-
52,height:x(150),log:o,step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:z(t.alerts),alerts:[e],thresholds:o&&
(e.threshold??0)>0?[en(t,e)]:[]}):null}function en(t,e){let s=jt(t.schema),{zone:n}=t.schema.rules?.find(({id:a})=>a===e.
rule)??{},r=n&&["output_ratio","relative_spectral_norm"].includes(e.metric)&&s!==1,o=`threshold ${$(e.threshold)} of a l\
ayer`;return{value:e.threshold,name:r?`${o}: ${$(e.threshold*s)} / depth ${$(s)}`:o}}function sn(t,e){if(!e.adapters?.length)
return null;let s=({name:n,value:r,text:o})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,
alert:xt(e)})},c("span",{class:"mono"},n),c("b",null,r==null?(o??"–").replace("nan","NaN"):$(r)));return[c("h3",null,`\
Adapters, worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}var Vt={};at(Vt,{draw:()=>mn,endOf:()=>tt,formulaOf:()=>kt,groupLines:()=>$e,noAlert:()=>_t,peakOf:()=>Me,rateOf:()=>ke,
title:()=>fn,verdict:()=>Mt});var vt="var(--c1)",Ut="var(--c2)";function be(t,e){let s=t.schema.config?.find_lr;if(!(s?.curve?.rate?.length>1))return null;
let n=C(e-26,[3,2],24);return I("Learning rate, found by a sweep",[`${s.curve.rate.length} steps before the run`,J("find\
_lr",()=>ht(nn(s.curve)))],c("div",{class:"sweep",id:"found",style:n.style},rn(s,n.widths[0]),c("ul",{class:"words"},(s.
sentences??[]).map((r,o)=>c("li",{class:o?null:"head"},r)))))}var $t=t=>(t??[]).map(Number),nn=({rate:t,loss:e,smoothed:s,
output_ratio:n})=>[["learning rate","loss","smoothed loss","depth-scaled output ratio"],...t.map((r,o)=>[r,e[o],s?.[o],n[o]])],
Dt=(t,e,s,n)=>r=>s+(r-t)/(e-t||1)*(n-s);function rn(t,e){let s=t.curve,n=$t(s.rate),r=on(n,e),o=V("chart",e,r.height,"lo\
ss and depth-scaled output ratio over the learning rate",{onpointermove:a=>an(a,s,n,r),onpointerleave:()=>O.hide()});return o.
append(...ln(r),...cn(t,r),...hn(s,n,r),...dn(s,n,r),...un(t,r)),o}function on(t,e){let s=x(330),n=x(58),r=e-x(16),o=x(14),
a=s-x(38),i=x(20),l=o+(a-o-i)*.6,h=[Math.log10(t[0]),Math.log10(t.at(-1))],d=Dt(h[0],h[1],n,r);return{height:s,left:n,right:r,
top:o,foot:a,gap:i,middle:l,ends:h,X:f=>d(Math.min(Math.max(Math.log10(f),h[0]),h[1]))}}function an(t,e,s,{X:n}){let r=a=>Math.
abs(n(a)-(t.clientX-t.currentTarget.getBoundingClientRect().left)),o=s.reduce((a,i,l)=>r(i)<r(s[a])?l:a,0);O.show(t,c("b",
null,`learning rate ${$(s[o])}`),lt(vt,"loss",$(Number(e.loss[o]))),lt(Ut,"depth-scaled output ratio",$(Number(e.output_ratio[o]))))}
var Q=(t,e,s,n={})=>b("text",{x:t,y:e,...n},s),ln=({height:t,left:e,right:s,foot:n,ends:r,X:o})=>[...Y(r[0],r[1],(s-e)/x(
70)).map(a=>Q(o(a),n+x(15),$(a),{"text-anchor":"middle"})),Q((e+s)/2,t-6,"learning rate",{"text-anchor":"middle",class:"\
axis-name"})];function cn({low:t,high:e},{top:s,foot:n,X:r}){if(t==null||e==null)return[];let o={x:r(t),y:s,width:Math.max(
r(e)-r(t),1),height:n-s};return[b("rect",{class:"plateau",...o,style:"fill:var(--ok)"})]}function xe(t,e,{X:s},n,r){let a=t.
map((i,l)=>[e[l],i]).filter(([,i])=>Number.isFinite(i)).map(([i,l])=>`${s(i).toFixed(1)} ${n(l).toFixed(1)}`);return a.length?
[b("path",{class:"line",style:`stroke:${r}`,d:`M${a.join("L")}`})]:[]}function hn(t,e,s){let{left:n,top:r,middle:o,X:a}=s,
i=$t(t.smoothed),l=Math.max(...i.filter(Number.isFinite)),h=$t(t.loss).map((f,m)=>({loss:f,rate:e[m]})).filter(({loss:f})=>f<=
l),d=Math.min(l,...h.map(({loss:f})=>f));if(!Number.isFinite(d))return[Q(n+6,r+x(20),"no finite loss")];let u=Dt(d,l,o,r);
return[...H(D(d,l,(o-r)/x(34)),s,u),...h.map(({loss:f,rate:m})=>b("circle",{class:"one",cx:a(m),cy:u(f),r:2.5,style:`fil\
l:${vt}`})),...xe(i,e,s,u,vt),Q(n+6,o-6,"loss, mean of five",{style:`fill:${vt}`})]}function dn(t,e,s){let{left:n,right:r,
foot:o,gap:a,middle:i}=s,l=$t(t.output_ratio).map(g=>g>0?Math.log10(g):Number.NaN),h=l.filter(Number.isFinite),d=i+a;if(!h.
length)return[Q(n+6,d+x(14),"depth-scaled output ratio: not measured")];let u=Math.min(...h,-.3),f=Math.max(...h,.3),m=Dt(
u,f,o,d),p=Y(u,f,(o-d)/x(24)).filter(g=>Math.abs(Math.log10(g))>.5);return[...H([1,...p],s,g=>m(Math.log10(g)),$),b("lin\
e",{x1:n,x2:r,y1:m(0),y2:m(0),class:"one"}),...xe(l,e,s,m,Ut),Q(n+6,d+x(14),"depth-scaled output ratio",{style:`fill:${Ut}`})]}
var un=({rate:t,edge:e,edge_rule:s},{top:n,foot:r,X:o})=>[[t,"suggestion","ok"],[e,s?`edge, ${s}`:"edge","error"]].filter(
([a])=>a!=null).flatMap(([a,i,l])=>{let h=o(a);return[b("line",{class:"found",x1:h,x2:h,y1:n,y2:r,style:`stroke:var(--${l}\
)`}),Q(h-4,n+x(10),i,{"text-anchor":"end",class:"found",style:`fill:var(--${l})`})]});var fn="Overview";function Mt(t,e,s){return t?{kind:F(t.severity),head:L(t.name),text:t.message,alert:t}:e?e.name!=="unk\
nown"||!s?e:Bt(s)?{...e,head:L(s)}:{...e,text:`${e.text} Here: ${s}.`}:{kind:"info",head:"Not recorded",text:"This run w\
as written without its zones."}}async function mn(t){let{alerts:e,step:s,state:n}=t,r={at:s},o=t.window(600),[a,i,l,h,d,
u,f]=await Promise.all([yt(t,n.run),t.data.verdict(n.run,s),ve(t,r),ve(t,o),t.seriesOf(["loss","loss_start","loss_recent",
"overhead","zone"],r),t.series("effective_lr",{max_cols:600,to:s}),t.seriesOf(["loss","loss_expected","effective_lr"],o)]),
m=l&&bn(l,s),p=m==null?null:await t.metric(a.metric,{from:m,to:m}),g=i.first==null?null:e[i.first],y=Mt(g,ut(t.schema,d.
zone,s),a.missing),w=C(t.width,[43,57]),[v,_]=w.widths;return c("div",{class:"overview"},vn(t,y,tt(i,t.run)),c("div",{class:"\
tiles"},Mn(t,{...d,rates:u},l,a)),c("div",{class:"columns",style:w.style},I(S("Where the run is","path"),[wn(a.points),J(
"path",()=>yn(a.points))],bt([{name:n.run,colour:"var(--trace)",...a}],{width:v-26,height:x(470),metric:a.metric,step:s,
onStep:t.setStep})),pn(t,{...f,size:h},a,_)),c("div",{class:"columns",style:w.style},I("Alerts",e.length?`${e.length} so\
 far`:null,kn(t)),I(`Largest ${a.metric==="output_ratio"?"output ratios":"adapters"}`,p?.columns?`${p.first[0]<p.last[0]?
"highest of":"at"} ${p.steps(0)}, log scale`:null,_n(t,p))),be(t,t.width))}function pn(t,{loss:e,loss_expected:s,effective_lr:n,
size:r},o,a){let i=t.lastStep>0,l=z(t.alerts),h=C(a,[1,1],16,520),d={step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.
range(),discarded:l},u={...d,empty:i?"not logged in this run":o.missing,width:h.widths[0]-26,height:x(190)},f=[{name:"lo\
ss",matrix:e,colour:"var(--c1)"},{name:"expected",matrix:s,colour:"var(--soft)",dash:"3 3",thin:!0}],m=o.metric==="outpu\
t_ratio"?"Output ratio":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",{class:"stack"},q("Loss",null,f,{...d,term:"\
loss",width:a-26,height:x(212),alerts:t.alerts.filter(p=>p.step>0),onAlert:p=>t.openAlert(p,"alerts"),empty:i?"the loss \
is unknown in this run":o.missing}),c("div",{class:"columns",style:h.style},q(m,"over adapters",r&&i?gn(r):[],{...u,term:o.
metric,log:!0}),q("s · lr","per group",i?$e(n):[],{...u,term:"effective_lr",zero:!0,log:l.length>0})))}var gn=t=>["max",
"p90","median"].map((e,s)=>({name:e,column:s,matrix:t,colour:`var(--c${[2,1,3][s]})`,thin:s!==1}));function wn(t){let e=new Map(
t.map(({zone:n})=>[n?.head??"zone not recorded",n?.colour])),s=([n,r])=>c("span",null,c("i",{style:`--swatch:var(--${r??
"trace"})`}),n.toLowerCase());return c("span",{class:"legend"},[...e].map(s))}var yn=t=>ht([["step","gain","depth-scaled\
 output ratio","zone"],...t.map(({step:e,gain:s,ratio:n,zone:r})=>[e,s,n,r?.name])]),ve=async(t,e)=>await t.spread("outp\
ut_ratio",e)??await t.spread("relative_spectral_norm",e);function bn(t,e){return!t.columns||t.first[0]>e?null:t.last[t.columnOf(
e)]}var $e=t=>Array.from({length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-1)*t.n+e])).map(
(e,s)=>({name:`group ${e}`,matrix:t,column:e,colour:`var(--c${1+s%6})`}));function tt({verdict:t,message:e},{wall_time:s},n=Date.
now()/1e3){let r=(e??"").split(`
`)[0];if(t==="ok")return{word:"finished",kind:"ok",text:"Training came to its end."};if(t==="unhealthy")return{word:"fin\
ished unhealthy",kind:"error",text:r};if(t==="unknown")return{word:"not measured",kind:"warning",text:r};if(t==="failed")
return{word:"ended by fail_on",kind:"error",text:r};if(t==="interrupted")return{word:"interrupted",kind:"warning",text:r};
if(t!=="running")return null;let o=(n-s)/60;if(o<15)return{word:"running",kind:"info",text:"Training goes on."};let[a,i]=o<
120?[o,"min"]:o<2880?[o/60,"h"]:[o/1440,"days"];return{word:`silent for ${Math.round(a)} ${i}`,kind:"warning",text:"The \
run wrote nothing since, not even its end: killed, or very slow."}}var xn=({step:t,last_step:e,closed_step:s})=>s==null?
`since step ${t}`:e>t?`steps ${t}–${e}`:`at step ${t}`;function vn(t,{kind:e,head:s,text:n,alert:r},o){let a=r?.remedies?.[0],
i=j.map(l=>{let h=t.alerts.filter(d=>d.severity===l).length;return c("button",{class:`chip ${F(l)}`,disabled:!h,title:"s\
how alerts of this severity",onclick:()=>t.set({view:"alerts",level:l})},R(l,11),c("b",null,h),l.toLowerCase())});return c(
"section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e==="ok"?"✓":R(e.toUpperCase(),
30)),c("div",{class:"words"},c("h1",null,s,o&&nt(o.word,o.text,{id:"ended",class:`badge ${o.kind}`}),r&&c("small",null,xn(
r))),c("p",null,n),a&&c("p",{class:"fix"},c("b",null,"Try"),a)),c("div",{class:"chips"},i))}var kt=t=>t?.replace("alpha",
"α").replace("sqrt(r)","√r");function $n(t){let e=new Map;for(let n of t)e.set(n,(e.get(n)??0)+1);let s=[...e].sort((n,r)=>r[1]-
n[1]).map(([n])=>n);return s.length>1?`${$(s[0])}…`:$(s[0])}function Me(t,e,s=[]){let n=null,r=o=>s.some(([a,i])=>a<=t.
last[o]&&t.first[o]<=i);for(let o=0;o<(t?.columns??0)&&t.first[o]<=e;o++)for(let a=0;a<t.n&&!r(o);a++){let i=t.high[o*t.
n+a];Number.isFinite(i)&&(n==null||i>n)&&(n=i)}return n}var G=(t,e,s,n,r)=>c("div",{class:"tile"},c("span",{class:"name"},
S(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function Mn(t,e,s,n){let{loss:r,rates:o,overhead:a}=e,
{schema:i,adapters:l,step:h}=t,d=ft(e,h),u=s?.at(h,1),f=a?.at(h),m=i.max_steps,p=m?Math.min(1,h/m):null,g=l[0]?.scale_formula,
y=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled output ratio"]:["σ₁ relative to W₀ × depth",
n.metric],w=["r","alpha","scale"].map(v=>$n(l.map(_=>_[v]))).join(" / ");return[G("Step","step",[String(h),m&&c("small",
null,` / ${m}`)],p==null?null:`${U(p)} of the schedule`,p!=null&&c("i",{class:"progress",style:`--share:${p}`})),G("Loss",
"loss",$(r?.at(h)),Number.isFinite(d)?`gain ${U(d)}, mean of five`:null),G(...y,$(u==null?null:n.depth*u),u==null?"not m\
easured":`${$(u)} × depth ${$(n.depth)}`),G("s · lr, peak","effective_lr",$(Me(o,h,z(t.alerts))),ke(i)),l.length?l.every(
v=>!v.r)?G("Method",null,g?.replace("'s own","")??"–","has no A, B and scale"):G("r / α / s","scale",w,g?`s = ${kt(g)}`:
null):G("Method",null,"–","no adapters"),G("Adapters","adapters",String(l.length),i.config?.model_type??i.optimizer),G(
"Overhead","overhead",f==null||!t.lastStep?"–":U(f,1),t.lastStep?"of the wall time":n.missing)]}function ke({config:t,
peak_lr:e}){let{rate:s,low:n,high:r}=t?.find_lr??{},o=n!=null&&r!=null?` (${$(n)} to ${$(r)})`:"";return s!=null&&s===t?.
learning_rate?`lr ${$(s)}, found by a sweep${o}`:e?.length?`lr peaks at ${$(Math.max(...e))}`:null}var _t=({rules:t})=>t?.
length?`No alert: ${t.length} rules watch this run.`:"No alert in this run.";function kn(t){if(!t.alerts.length)return c(
"p",{class:"none"},`✓ ${_t(t.schema)}`);let e=[...t.alerts].sort((n,r)=>j.indexOf(n.severity)-j.indexOf(r.severity)||n.
step-r.step),s=n=>c("button",{class:"row",onclick:()=>t.openAlert(n,"alerts")},R(n.severity),c("b",null,L(n.name)),c("sp\
an",{class:"note"},`step ${n.step}`),c("span",{class:"clip"},n.message));return c("ol",{class:"alert-list"},e.slice(0,6).
map(n=>c("li",null,s(n))))}function _n(t,e){if(!e?.columns)return c("p",{class:"none"},"Not measured up to this step.");
let s=t.adapters.map(a=>({adapter:a,value:e.high[a.index]})).filter(({value:a})=>a>0).sort((a,i)=>i.value-a.value);if(!s.
length)return c("p",{class:"none"},"Nothing is above zero at this step.");let n=Math.log10(s[0].value),r=Math.min(n-1,Math.
log10(s[s.length-1].value)),o=({adapter:a,value:i})=>c("button",{class:"row",title:a.name,onclick:()=>t.set({view:"layer",
adapter:a.name})},c("span",{class:"clip"},a.short),c("i",{style:`--share:${(Math.log10(i)-r)/(n-r)}`}),c("b",null,$(i)));
return c("ol",{class:"bars"},s.slice(0,9).map(a=>c("li",null,o(a))))}var Nn="Alerts",Ht={severity:["Severity",t=>j.indexOf(t.severity)],rule:["Rule",t=>t.rule],name:["What",t=>t.name],step:[
"Step",t=>t.step],lasted:["Held",zt],adapters:["Adapters",t=>-(t.adapters?.length??0)]};async function An(t){let{state:e,
alerts:s}=t;if(!s.length)return c("div",null,await Fn(t));let n=!["running",null].includes(t.ending.verdict),r=Sn(e.sort),
o=s.filter(l=>(!e.level||l.severity===e.level)&&On(l,e.find.toLowerCase())).sort(r.compare),a=o.find(l=>xt(l)===e.alert)??
o[0],i=C(t.width,[52,48]);return c("div",null,En(t),c("div",{class:"columns",style:`${i.style};align-items:start`},I(null,
null,c("table",{class:"grid",id:"alerts"},Wn(t,r),c("tbody",null,o.map((l,h)=>In(t,l,h,l===a,n)))),!o.length&&c("p",{class:"\
none"},"No alert fits this filter.")),a?await ge(t,a,n,i.widths[1]):c("div")))}function Sn(t){let[e,s]=(t||"severity.up").
split("."),n=(Ht[e]??Ht.severity)[1],r=s==="down"?-1:1;return{by:e,sign:r,compare:(a,i)=>(n(a)<n(i)?-1:n(a)>n(i)?1:0)*r||
a.step-i.step}}function On(t,e){let s=[t.rule,t.name,t.message,...(t.adapters??[]).map(({name:n})=>n)];return!e||s.some(
n=>n.toLowerCase().includes(e))}function En(t){let{state:e,alerts:s}=t,n=r=>c("button",{id:`level-${r||"all"}`,"aria-pre\
ssed":String(e.level===r),onclick:()=>t.set({level:r})},r&&R(r,11),r?`${r.toLowerCase()} ${s.filter(o=>o.severity===r).length}`:
`all ${s.length}`);return c("div",{class:"toolbar"},c("div",{class:"segment",role:"group","aria-label":"severity"},["",...j].
map(n)),c("input",{id:"find",type:"search",placeholder:"rule, text or adapter",value:e.find,"aria-label":"filter",oninput:r=>t.
set({find:r.target.value})}))}function Wn(t,{by:e,sign:s}){let n=(r,o)=>c("th",{"aria-sort":r===e?s>0?"ascending":"desce\
nding":null},S(o),c("button",{id:`sort-${r}`,class:"sort","aria-label":`sort by ${o}`,onclick:()=>t.set({sort:`${r}.${r===
e&&s>0?"down":"up"}`})},r===e?s>0?"↑":"↓":"↕"));return c("thead",null,c("tr",null,Object.entries(Ht).map(([r,[o]])=>n(
r,o))))}function In(t,e,s,n,r){let{severity:o,rule:a,name:i,step:l,adapters:h}=e;return c("tr",{class:n?"chosen":null,"d\
ata-alert":xt(e),onclick:()=>t.openAlert(e),onkeydown:Ln},c("td",null,c("span",{class:`tag ${F(o)}`},R(o,11),o.toLowerCase())),
c("td",{class:"mono"},a),c("td",null,c("button",{id:`alert-${s}`,class:"open","aria-current":String(n)},L(i))),c("td",{class:"\
number"},l),c("td",null,Pt(e,r)),c("td",null,h?.length?[c("span",{class:"mono clip"},we(t,h[0].name)),h.length>1&&c("sma\
ll",null,` +${h.length-1}`)]:"–"))}function Ln(t){let e={ArrowDown:"nextElementSibling",ArrowUp:"previousElementSiblin\
g"}[t.key];e&&(t.preventDefault(),t.currentTarget[e]?.querySelector(".open").focus())}async function Fn(t){let{rules:e}=await t.
data.rules(t.state.run),s=[...new Set(e.map(({family:n})=>n))];return I(`✓ ${_t(t.schema)}`,"each opens to its page",c(
"div",{class:"rules"},s.map(n=>c("section",null,c("h3",null,n),e.filter(r=>r.family===n).map(Cn)))))}var Rn={means:"What\
 it means",check:"Check first",fix:"How to fix it",mute:"When to mute it"},Cn=t=>c("details",{class:"rule"},c("summary",
null,R(t.severity,11),c("span",{class:"mono"},t.id),c("span",null,c("b",null,L(t.name)),c("span",{class:"note"},t.summary))),
c("dl",null,Object.entries(Rn).map(([e,s])=>t[e]&&[c("dt",null,s),c("dd",null,t[e])]),[c("dt",null,"All of it"),c("dd",{
class:"mono"},`lora-watch rules ${t.id}`)]));var Gt={};at(Gt,{draw:()=>qn,flatten:()=>St,settings:()=>Ie,shortNames:()=>We,title:()=>Vn});var _e=6;function Ne(t,e,s){let n=e.curves[0]?.along;if(!n)return null;let r=e.curves.filter(l=>l.along===n).slice(0,_e),
o=e.configurations.reduce((l,{runs:h})=>l+h.length,0),a=C(s-26,[1,1],24),i=a.widths[0];return I(`Quality against ${n==="\
r"?"rank":"scale"}`,`${e.metric}, ${e.higher_is_better?"higher":"lower"} is better; all ${o} runs`,c("div",{class:"sweep",
id:"sweep",style:a.style},jn(t,e,r,n,i),c("div",null,e.curves.slice(0,2*_e).map(l=>[c("ul",{class:"words"},l.words.map((h,d)=>c(
"li",{class:d?null:"head"},d||r.length<2||!r.includes(l)?null:c("i",{class:"swatch",style:`background:${Nt(r.indexOf(l))}`}),
h))),rt("confounds",l.confounds)]),rt("notes",e.notes))))}var Tn=({r:t,scale:e},s)=>`r ${t}, s ${$(e)}${s==null?"":`, se\
ed ${s}`}`,Nt=t=>`var(--c${1+t%6})`;function jn(t,e,s,n,r){let o=Bn(e,s,n,r),a=`${e.metric} against ${n==="r"?"rank":"sc\
ale"}`,i=V("chart",r,o.height,a,{role:"group"});return i.append(...zn(o,n)),s.forEach((l,h)=>{i.append(...Pn(l,o,Nt(h)),
...Un(e,l,o,Nt(h)),...l.configurations.flatMap(d=>Dn(t,e,d,o,Nt(h))))}),i}var Ae=({configurations:t,metric:e},s)=>t[s].runs.
filter(n=>n.left_out==null&&Number.isFinite(n.quality[e]));function Bn(t,e,s,n){let r=x(230),o=x(52),a=n-x(16),i=x(14),l=r-
x(38),h=N=>Math.log2(t.configurations[N][s==="r"?"r":"scale"]),d=e.flatMap(N=>N.configurations),u=d.flatMap(N=>Ae(t,N).map(
k=>k.quality[t.metric])),f=[...new Set(d.map(h))].sort((N,k)=>N-k),[m,p]=[Math.min(...u),Math.max(...u)],g=(p-m)*.1||Math.
abs(p)*.1||1,[y,w,v,_]=[f[0]-.25,f.at(-1)+.25,m-g,p+g];return{height:r,left:o,right:a,top:i,foot:l,places:f,low:v,high:_,
place:h,X:N=>o+(N-y)/(w-y)*(a-o),Y:N=>l-(N-v)/(_-v)*(l-i)}}function zn({height:t,left:e,right:s,top:n,foot:r,places:o,low:a,
high:i,X:l,Y:h},d){let u={x:(e+s)/2,y:t-6,"text-anchor":"middle",class:"axis-name"};return[...H(D(a,i,(r-n)/x(34)),{left:e,
right:s},h),...o.map(f=>b("text",{x:l(f),y:r+x(15),"text-anchor":"middle"},$(2**f))),b("text",u,d==="r"?"rank r":"scale \
s")]}function Pn(t,{top:e,foot:s,place:n,X:r},o){if(t.plateau==null)return[];let a=r(n(t.plateau)),i=r(n(t.configurations.
at(-1)));return[b("rect",{class:"plateau",x:a,y:e,width:i-a,height:s-e,style:`fill:${o}`}),b("text",{x:(a+i)/2,y:s-6,"te\
xt-anchor":"middle"},t.turns?"no gain":"plateau")]}function Un({configurations:t},e,{place:s,X:n,Y:r},o){let a=h=>r(t[h].
mean),i=e.configurations.map((h,d)=>`${d?"L":"M"}${n(s(h)).toFixed(1)} ${a(h).toFixed(1)}`).join(""),l={cx:n(s(e.chosen)),
cy:a(e.chosen),r:9};return[b("path",{class:"line",style:`stroke:${o}`,d:i}),b("circle",{class:"chosen",...l,style:`strok\
e:${o}`})]}function Dn(t,e,s,{place:n,X:r,Y:o},a){let{metric:i,configurations:l}=e;return Ae(e,s).map(h=>{let d=()=>h.name in
t.runs&&t.set({run:h.name,adapter:"",step:"",view:"overview"}),u=h.quality[i];return b("circle",{class:"dot",cx:r(n(s)),
cy:o(u),r:4,style:`fill:${a}`,"aria-label":h.name,...st(d),onpointermove:f=>O.show(f,c("b",null,h.name),`${i} ${$(u)}`,Tn(
l[s],h.seed)),onpointerleave:()=>O.hide()})})}var Vn="Compare",Ee="ABCDEF",At=Ee.length,Hn=/^(learning_rate|parameters|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function We(t){let e=t.map(s=>s.replace(/\/(runs\/)?[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_[^/]*$/,""));return new Map(t.map((s,n)=>[
s,e.indexOf(e[n])===e.lastIndexOf(e[n])?e[n]:s]))}function St(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[
n,r]of Object.entries(t))St(r,e?`${e}.${n}`:n,s);else s[e]=Array.isArray(t)?t.map(String).join(", "):t==null?"–":Number.
isInteger(t)?t.toLocaleString("en"):typeof t=="number"?$(t):String(t);return s}function Ie(t){let e=t.config?.find_lr,s=n=>[
...new Set(t.adapters.map(r=>r[n]))].map(r=>typeof r=="number"?$(r):String(r??"–")).join(", ")||"–";return{r:s("r"),
α:s("alpha"),s:s("scale"),"formula of s":s("scale_formula"),"peak lr":[...new Set(t.peak_lr??[])].map($).join(", ")||"–",
adapters:String(t.adapters.length),optimizer:t.optimizer??"–",...St(e?{...t.config,find_lr:e.rate}:t.config??{}),...St(
{versions:t.versions??{}})}}async function qn(t){let e=Object.keys(t.runs).sort((l,h)=>l.localeCompare(h,void 0,{numeric:!0})),
s=await t.data.sweep(),n=We(e),r=Gn(t,s,e),o=Kn(r),a=await Promise.all(r.map(async l=>({...await Xn(t,l),label:n.get(l),
...o.get(l)}))),i=C(t.width,[2,1]);return c("div",{class:"compare"},Zn(t,e,n,o),c("div",{class:"columns top",style:i.style},
c("div",{class:"stack"},tr(a),er(t,a)),Jn(a,i.widths[1]-26)),Ne(t,s,t.width),c("div",{class:"legend lettered"},a.map(l=>c(
"span",null,Le(l),l.label))),Yn(t,a))}function Gn(t,e,s){let n=[];try{n=JSON.parse(t.state.runs||"[]").filter(r=>r in t.
runs)}catch{}return n.length?n:Qn(e,t.state.run,s)}var Kn=t=>new Map(t.map((e,s)=>[e,{letter:Ee[s],colour:`var(--c${1+s%
6})`}])),Le=({colour:t,letter:e})=>c("i",{class:"letter",style:`--c:${t}`},e);function Zn(t,e,s,n){let r=t.state.among.toLowerCase(),
o=[...n.keys()],a=l=>t.set({runs:JSON.stringify(n.has(l)?o.filter(h=>h!==l):[...o,l].slice(-At))}),i=(l,h)=>c("button",{
id:`pick-${h}`,class:"chip run","aria-pressed":String(n.has(l)),style:n.has(l)?`--c:${n.get(l).colour}`:null,title:l,onclick:()=>a(
l)},c("i",{class:"letter"},n.get(l)?.letter),s.get(l));return c("div",{class:"toolbar wrap",id:"chosen"},e.length>At&&c(
"input",{id:"among",type:"search",placeholder:`find one of ${e.length} runs`,"aria-label":"find a run",value:t.state.among,
oninput:l=>t.set({among:l.target.value})}),e.map((l,h)=>(n.has(l)||l.toLowerCase().includes(r))&&i(l,h)),c("span",{class:"\
note"},`up to ${At} runs`))}function Jn(t,e){let s=t.filter(({path:o})=>o.missing),n=t.find(({path:o})=>!o.missing)?.path.
metric,r=t.map(({label:o,letter:a,colour:i,path:l})=>({name:o,letter:a,colour:i,...l}));return I(S("Where the runs went",
"path"),null,s.length>0&&c("p",{class:"note"},`Without a path: ${s.map(({letter:o,path:a})=>`${o} (${a.missing})`).join(
", ")}.`),s.length<t.length&&bt(r,{width:e,height:x(460),metric:n}))}function Yn(t,e){let s=C(t.width,[1,1,1]),n={log:!0},
r={legend:!1,width:s.widths[0]-26,height:x(170),range:t.range(Math.max(...e.map(({name:a})=>t.runs[a].step))),step:t.state.
step===""?null:t.step,onStep:t.setStep,onZoom:t.zoom},o=(a,i,l,h,d,u)=>q(a,i,e.map(f=>({name:f.label,letter:f.letter,matrix:f[h],
column:d,colour:f.colour})),{term:l,...r,...u});return c("div",{class:"columns",style:s.style},o("Loss","mean of five st\
eps","loss","loss_recent",0),o("Output ratio","90th percentile","output_ratio","output_ratio",1,n),o("‖ΔW‖, median",
"over adapters","delta_norm","delta_norm",2,n),o("‖ΔW‖, largest","over adapters","delta_norm","delta_norm",0,n),o("\
‖ΔW‖ / ‖W₀‖, median","over adapters","relative_norm","relative_norm",2,n),o("Effective rank, median","over ad\
apters","effective_rank","effective_rank",2),o("s · lr","first group","effective_lr","effective_lr",0,{log:e.some(({alerts:a})=>z(
a).length>0)}),o("Learning rate","first group","lr","lr",0),o("Scale s","median","scale","scale",2))}var Se=["loss_recen\
t","effective_lr","lr"],Oe=["output_ratio","delta_norm","relative_norm","scale","effective_rank"];async function Xn(t,e){
let s=t.window(400),n={at:t.runs[e].step},[r,{alerts:o},a,i,l,h,d,u]=await Promise.all([t.data.schema(e),t.data.alerts(e),
t.data.verdict(e),yt(t,e),t.seriesOf(["loss","loss_start","loss_recent","zone"],n,e),t.spread("delta_norm",n,e),Promise.
all(Se.map(p=>t.series(p,s,e))),Promise.all(Oe.map(p=>t.spread(p,s,e)))]),f=[...Se,...Oe].map((p,g)=>[p,[...d,...u][g]]),
m=tt(a,t.runs[e]);return Object.assign(l,{delta_norm:h}),{name:e,schema:r,alerts:o,ending:a,path:i,end:m,last:l,settings:Ie(
r),...Object.fromEntries(f)}}function Qn(t,e,s){let n=t.configurations.flatMap(({runs:a})=>a).find(({name:a})=>a===e)?.seed,
r=t.configurations.filter(({runs:a})=>!a.some(({name:i})=>i===e)).map(({runs:a})=>(a.find(i=>i.seed===n)??a[0]).name);return[
e,...r,...s].filter((a,i,l)=>s.includes(a)&&l.indexOf(a)===i).slice(0,Math.max(2,Math.min(At,1+r.length))).sort((a,i)=>s.
indexOf(a)-s.indexOf(i))}var Fe=(t,e)=>c("thead",null,c("tr",null,c("th",null,e),t.map(s=>c("th",{title:s.name},Le(s),s.
label)))),Re=(t,e,s,...n)=>c("div",{class:"scroll",tabindex:0,role:"region","aria-label":s},c("table",{class:"grid sets",
id:t,style:`min-width:${12+8*e.length}rem`},n));function tr(t){let e=[...new Set(t.flatMap(i=>Object.keys(i.settings)))].
filter(i=>!Hn.test(i)),s=i=>t.filter(l=>i in l.settings).map(l=>l.settings[i]),n=e.filter(i=>new Set(s(i)).size>1),r=e.filter(
i=>!n.includes(i)&&s(i).length<t.length),o=i=>c("tr",null,c("th",{scope:"row",class:"mono"},Tt(i)),t.map(l=>c("td",null,
c("div",{class:"value"},Tt(l.settings[i]??"–"))))),a=(i,l)=>Re(i,t,"settings",Fe(t,"Setting"),c("tbody",null,l.map(o)));
return I("What was set differently",`${e.length-n.length-r.length} settings are the same`,n.length?a("differences",n):c(
"p",{class:"none"},t.length>1?"Nothing: these runs have the same settings.":"Choose another run above."),r.length>0&&c("\
details",{class:"partly"},c("summary",null,`${r.length} settings that some of these runs alone have`),a("partly",r)))}function er(t,e){
let s=[["verdict",({schema:n,alerts:r,ending:o,last:a,path:i})=>{let l=Mt(r[o.first],ut(n,a.zone,1/0),i.missing);return[
l.kind==="ok"?"✓":R(l.kind.toUpperCase(),11)," ",l.head]}],["end",({end:n})=>n?nt(n.word,n.text,{class:`badge ${n.kind}`}):
"–"],["steps",({name:n,schema:r})=>`${t.runs[n].step}${r.max_steps?` / ${r.max_steps}`:""}`],["loss, mean of five",({last:n})=>{
let r=ft(n,1/0);return Number.isFinite(n.loss?.at(1/0)??0)?[$(n.loss_recent?.at(1/0)),Number.isFinite(r)&&c("small",null,
` gain ${U(r)}`)]:"NaN"}],["depth-scaled output ratio",({path:n})=>n.broken>=(n.points.at(-1)?.step??0)?"NaN":$(n.points.
at(-1)?.ratio)],["‖ΔW‖, largest",({last:n})=>$(n.delta_norm?.at(1/0,0))],["‖ΔW‖, median",({last:n})=>$(n.delta_norm?.
at(1/0,2))],["alerts",({alerts:n})=>n.length?j.map(r=>[r,n.filter(o=>o.severity===r).length]).filter(([,r])=>r).map(([r,
o])=>c("span",{class:"tally"},R(r,11),o)):"none"]];return I("What came of it",null,Re("outcomes",e,"outcomes",Fe(e,"Outc\
ome"),c("tbody",null,s.map(([n,r])=>c("tr",null,c("th",{scope:"row"},S(n)),e.map(o=>c("td",{class:"number"},[r(o)].flat())))))))}var Yt={};at(Yt,{COLOURS:()=>It,ROWS:()=>Lt,draw:()=>pr,title:()=>mr});var sr=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
nr={light:[[8,64,129],[49,130,189],[158,202,225],[244,244,242],[253,190,133],[230,97,1],[140,45,4]],dark:[[120,200,255],
[66,146,198],[38,84,124],[40,44,52],[140,71,22],[235,120,30],[255,205,120]]};function rr(t){let e=new Uint32Array(256);for(let s=0;s<
256;s++){let n=s/255*(t.length-1),r=Math.min(t.length-2,Math.floor(n)),o=n-r,[a,i,l]=[0,1,2].map(h=>Math.round(t[r][h]+(t[r+
1][h]-t[r][h])*o));e[s]=(255<<24|l<<16|i<<8|a)>>>0}return e}var or=t=>`linear-gradient(90deg,${t.map(e=>`rgb(${e})`).join(
",")})`,Ce=(t,e)=>t==="diverging"?nr[e?"dark":"light"]:sr,Te=(t,e)=>rr(Ce(t,e)),je=(t,e)=>or(Ce(t,e));var Be="#ff00a8";function Ue(t,e,s,n,r,o,a){let{columns:i,n:l}=s,h=Te(n.scale,e.dark),d=t.width,u=new ImageData(d,l),f=new Uint32Array(
u.data.buffer),m=Array.from({length:i+1},(M,N)=>Math.round(s.place(N)*d));r.forEach(({adapter:M},N)=>{for(let k=0;k<i;k++){
let A=n.cells[k*l+M.index];Number.isNaN(A)||f.fill(h[Math.max(0,Math.min(255,A*255|0))],N*d+m[k],N*d+m[k+1])}});let p=new OffscreenCanvas(
d,l);Kt(p).putImageData(u,0,0);let g=Kt(t);g.imageSmoothingEnabled=!1,g.scale(a,a);let y=d/a,w=M=>s.place(M)*y,v=0;for(let M=1;M<=
r.length;M++)M<r.length&&r[M].y===r[M-1].y+o||(g.drawImage(p,0,v,d,M-v,0,r[v].y,y,(M-v)*o),v=M);let _=g.createPattern(Pe(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:M,y:N})=>{ze(s,M.index,4,(k,A)=>{
g.fillStyle=_,g.fillRect(w(k),N,w(A)-w(k),o)})});let E=g.createPattern(Pe(null,"#fff",8),"repeat");r.forEach(({adapter:M,
y:N})=>{ze(s,M.index,3,(k,A)=>{let W=w(A)-w(k),P=Math.round(Math.max(7,W)),Z=Math.max(7,o),X=Math.round(Math.max(0,Math.
min(y-P,(w(k)+w(A))/2-P/2))),ot=Math.round(N+o/2-Z/2),ae=o<7||W<7;g.fillStyle="#fff",ae&&g.fillRect(X-1.5,ot-1.5,P+3,Z+3);
for(g.fillStyle of ae?[Be]:[Be,E])g.fillRect(X,ot,P,Z)})})}var Kt=t=>t.getContext("2d");function ze(t,e,s,n){let r=-1;for(let o=0;o<=
t.columns;o++){let a=o<t.columns&&t.flags[o*t.n+e]&s;a&&r<0&&(r=o),!a&&r>=0&&(n(r,o),r=-1)}}function Pe(t,e,s){let n=new OffscreenCanvas(
s,s),r=Kt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let o of[-s,0,s])r.moveTo(o,s),r.lineTo(
o+s,0);return r.stroke(),n}var De=(t,e)=>s=>(s-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+1)*e;function Ve(t,e,s,n){let o=b("svg",{class:"strip",width:n,
height:44}),a=De(e,n);if(s?.columns){let i=Array.from({length:s.columns},(p,g)=>[(s.first[g]+s.last[g])/2,s.low[g],s.high[g]]).
filter(([p])=>p>=e.first[0]&&p<=e.stepAt(1)),l=i.flatMap(([,...p])=>p).filter(Number.isFinite),h=Math.min(...l),d=Math.max(
...l),u=p=>(41-(p-h)/(d-h||1)*25).toFixed(1),f="",m=!1;for(let[p,g,y]of i){if(!Number.isFinite(y)){m=!1;continue}let w=u(
(g+y)/2);f+=`${m?"L":"M"}${a(p).toFixed(1)} ${w}`,g<y&&(f+=`V${u(y)}V${u(g)}V${w}`),m=!0}o.append(b("path",{d:f,class:"l\
ine",style:"stroke:var(--soft)"}))}for(let i of t.alerts){if(i.step<e.first[0]||i.step>e.end)continue;let l=e.columnOf(i.
step),h=(e.place(l)+e.place(l+1))/2*n;o.append(b("g",{class:`mark severity ${F(i.severity)}`,transform:`translate(${Math.
max(7,h)},8)`,"aria-label":`${i.name} at step ${i.step}`,...st(()=>t.openAlert(i)),onpointermove:d=>O.show(d,c("b",null,
L(i.name)),`step ${i.step}`,i.message),onpointerleave:()=>O.hide()},b("path",{d:"M0 6V44",class:"stem"}),b("path",{d:ct(
i.severity)})))}return o}function He(t,e){let s=b("svg",{class:"axis",width:e,height:x(18)}),n=De(t,e);for(let r of D(t.
first[0],t.end,e/x(70)).filter(Number.isInteger)){let o=n(r);s.append(b("text",{x:o,y:x(14),"text-anchor":o<12?"start":o>
e-14?"end":"middle"},r))}return s}function Et(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function Ge(t,e){let s=({name:a})=>e.find(i=>a.endsWith(`.${i}`))??"",n=new Set(
t.map(s)).size>1,r=t.map((a,i)=>{let l=s(a),d=(l?a.name.slice(0,-l.length-1):a.name).split(/\.(?!\d+(?:\.|$))/),u=d.findIndex(
m=>m.endsWith(`.${a.layer}`));u>=0&&(d[u]=Ot(d[u]));let f=d.pop();return{adapter:a,index:i,front:d,last:f,tail:n&&l?` ${l}`:
""}}),o=new Map;for(let a of r){let i=Ot(a.last)+a.tail;o.has(i)||o.set(i,[]),o.get(i).push(a)}for(let a of o.values()){
let i=qe(a,({front:d,last:u})=>[d.map(Ot),Ot(u)]),h=new Set(a.map(({adapter:d},u)=>`${d.layer} ${i[u]}`)).size===a.length?
i:qe(a,({front:d,last:u})=>[d,u]);for(let[d,u]of a.entries())Object.assign(u,{type:i[d]+u.tail,full:h[d]+u.tail})}return r.
map(({adapter:a,index:i,type:l,full:h})=>({...a,index:i,type:l,short:a.layer==null?a.name:`${a.layer} · ${Et(h,18)}`}))}
var Ot=t=>t.replace(/(\.\d+)+$/,"");function qe(t,e){let s=t.map(e),n=new Map;for(let h of s.flatMap(([d])=>[...new Set(
d)]))n.set(h,(n.get(h)??0)+1);let r=s.map(([h])=>h.filter(d=>n.get(d)<t.length)),o=(h,d)=>[...r[h].slice(0,d),s[h][1]].join(
"."),a=h=>new Set(t.map(({adapter:d},u)=>`${d.layer} ${o(u,h)}`)).size,i=a(1/0),l=0;for(;a(l)<i;)l++;return t.map((h,d)=>o(
d,l))}function Ke(t,e){let s=new Map;for(let n of t){let r=e==="type"?n.type:n.layer==null?"–":`layer ${n.layer}`;s.has(r)||
s.set(r,[]),s.get(r).push(n)}return[...s].map(([n,r])=>({name:n,adapters:r}))}function Ze(t){let e=new Float64Array(t.n),
s=[],n=Array.from({length:t.columns},(r,o)=>t.place(o+1)-t.place(o));for(let r=0;r<t.n;r++){s.length=0;let o=0;for(let l=0;l<
t.columns;l++){let h=l*t.n+r,d=(t.low[h]+t.high[h])/2;d>0&&d<1/0&&(s.push([d,n[l]]),o+=n[l])}s.sort((l,h)=>l[0]-h[0]);let a=o/
2,i=0;for(;i<s.length-1&&a>s[i][1];)a-=s[i++][1];e[r]=s.length?s[i][0]:NaN}return e}function Je(t,e,s){let{columns:n,n:r,
low:o,high:a}=t,i=new Float32Array(n*r);if(e==="rank"){let m=new Uint32Array(r);for(let p=0;p<n;p++){let g=p*r,y=0;for(let w=0;w<
r;w++)Number.isFinite(a[g+w])?m[y++]=w:i[g+w]=NaN;m.subarray(0,y).sort((w,v)=>a[g+w]-a[g+v]);for(let w=0;w<y;w++)i[g+m[w]]=
y>1?w/(y-1):.5}return{cells:i,ends:["lowest","","highest"],scale:"sequential"}}for(let m=0;m<r;m++){let p=e==="relative"&&
Math.log2(s[m])||0;for(let g=m;g<i.length;g+=r){let y=Math.log2(a[g])-p;if(e==="absolute"||o[g]===a[g]){i[g]=y;continue}
let w=Math.log2(o[g])-p;i[g]=Math.abs(w)>Math.abs(y)?w:y}}let l=[],h=Math.max(1,Math.floor(i.length/2e4))|1;for(let m=0;m<
i.length;m+=h)Number.isFinite(i[m])&&l.push(e==="relative"?Math.abs(i[m]):i[m]);l.sort((m,p)=>m-p);let d=m=>l[Math.min(l.
length-1,Math.floor(m*l.length))]??0;if(e==="relative"){let m=d(.88),p=m<.5?.5:Math.min(3,Math.ceil(m));for(let y=0;y<i.
length;y++)i[y]=i[y]/(2*p)+.5;let g=$(2**p);return{cells:i,ends:[`÷ ${g}`,"its median",`× ${g}`],scale:"diverging"}}let u=l.
at(-1)??0;for(let m of i)m>u&&m<1/0&&(u=m);let f=Math.min(d(.01),u-1e-6);for(let m=0;m<i.length;m++)i[m]=(i[m]-f)/(u-f);
return{cells:i,ends:[`≤ ${$(2**f)}`,"log",$(2**u)],scale:"sequential"}}var Ye=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),Wt=t=>x(108+6*(Ye(t)-11));function Xe(t,e,s,n,r,o){
let a=ir(t,e),{rows:i,size:l,height:h}=a,d=Math.max(1,Math.min(3,devicePixelRatio||1)),u=c("canvas",{id:"heat",width:Math.
round(o*d),height:Math.round(h*d),tabindex:0,role:"application","aria-roledescription":"heatmap",style:`width:${o}px;hei\
ght:${h}px`,"aria-label":`${t.state.metric} of ${e.n} adapters at ${e.columns} columns of steps; arrow keys go from cell\
 to cell, Enter opens the adapter`});Ue(u,t,e,n,i,l,d);let f=lr(t,e,a,o);return cr(u,t,e,i,f,r,o),dr(u,t,e,i),c("div",{class:"\
plot",style:`grid-template-columns:${Wt(t)-4}px ${o}px`},c("span",{class:"strip-name"},"loss"),Ve(t,e,s,o),ur(t,e,a),c("\
div",{class:"stage",style:`width:${o}px;height:${h}px`},u,f.overlay),c("span",{class:"strip-name"},"step"),He(e,o))}function ir(t,{
n:e}){let s=Ke(t.adapters,t.state.rows),n=Math.max(300,innerHeight-x(252)),r=s.length<=40?3:e+s.length<=n?1:0,o=Math.max(
1,Math.min(x(30),Math.floor((n-r*s.length)/e))),a=[],i=[],l=0;for(let h of s){let d=l;for(let u of h.adapters)a.push({adapter:u,
y:l}),l+=o;i.push({name:h.name,y:(d+l)/2,height:l-d}),l+=r}return{rows:a,labels:i,size:o,height:l-r}}function lr(t,e,{rows:s,
size:n,height:r},o){let a=w=>e.place(w)*o,i=w=>Math.max(1.5,a(w+1)-a(w)),l=b("svg",{class:"overlay",width:o,height:r}),h=e.
columnOf(t.step);t.step>=e.first[0]&&l.append(b("rect",{class:"at",x:a(h)-.5,y:0,width:i(h)+1,height:r}));let d=t.state.
adapter&&s.find(w=>w.adapter.name===t.state.adapter);d&&l.append(b("rect",{class:"at",x:.5,y:d.y-.5,width:o-1,height:n+1}));
let u=b("rect",{class:"cross",height:n+2,width:o}),f=b("rect",{class:"cross",height:r}),m=b("rect",{class:"select",y:0,height:r});
return l.append(u,f,m),{overlay:l,select:(w,v)=>{m.setAttribute("x",Math.min(w,v)),m.setAttribute("width",Math.abs(w-v)),
m.style.display="block"},point:(w,v)=>{u.setAttribute("y",w.y-1),f.setAttribute("x",a(v)),f.setAttribute("width",i(v)),u.
style.display=f.style.display="block"},leave:()=>{u.style.display=f.style.display="none"}}}function cr(t,e,s,n,r,o,a){let i=h=>{
let d=t.getBoundingClientRect(),u=h.clientX-d.left,f=h.clientY-d.top,m=n.findLast(p=>p.y<=f);return{px:u,row:m,column:s.
columnOf(s.stepAt(u/a))}},l=null;t.addEventListener("pointermove",h=>{let{row:d,column:u,px:f}=i(h);l!=null&&Math.abs(f-
l)>4&&r.select(f,l),d&&(r.point(d,u),O.show(h,...hr(s,u,d.adapter,o[d.adapter.index])))}),t.addEventListener("pointerlea\
ve",()=>{r.leave(),O.hide()}),t.addEventListener("pointerdown",h=>{l=i(h).px,t.setPointerCapture(h.pointerId)}),t.addEventListener(
"pointercancel",()=>{l=null}),t.addEventListener("pointerup",h=>{let{px:d,row:u,column:f}=i(h),m=l;if(l=null,m!=null&&Math.
abs(d-m)>4){let p=g=>s.columnOf(s.stepAt(g/a));e.set({from:s.first[p(Math.min(d,m))],to:s.last[p(Math.max(d,m))]})}else if(u){
let p=s.last[f];e.set({view:"layer",adapter:u.adapter.name,step:p>=e.lastStep?"":p})}})}function hr(t,e,{name:s,index:n},r){
let o=e*t.n+n,a=t.flags[o],i=t.high[o];return[c("b",null,s),`${t.steps(e)}: ${t.say(e,n,$)||"–"}`,Number.isFinite(i)&&
r>0&&`${$(i/r)} × its median`,a&3?c("strong",null,dt(a)):null]}function dr(t,e,s,n){let r=s.columnOf(e.step),o=n.find(i=>i.
adapter===e.adapter)??n[0],a=()=>{let{name:i,index:l}=o.adapter;e.say(`${i}, ${s.steps(r)}: ${s.say(r,l,$)||"not measure\
d"}`)};t.addEventListener("focus",a),document.activeElement?.id==="heat"&&a(),t.addEventListener("keydown",i=>{let l=i.shiftKey?
Math.max(1,Math.round(s.columns/20)):1,h={ArrowUp:[-1,0],ArrowDown:[1,0],ArrowLeft:[0,-l],ArrowRight:[0,l]}[i.key];if(i.
key==="Enter"&&e.set({view:"layer",adapter:o.adapter.name}),!h)return;i.preventDefault(),i.stopPropagation();let d=n[(n.
indexOf(o)+h[0]+n.length)%n.length],u=s.last[Math.max(0,Math.min(s.columns-1,r+h[1]))],f=h[1]?u>=e.lastStep?"":u:e.state.
step;e.set({adapter:d.adapter.name,step:f})})}function ur(t,{n:e},{rows:s,labels:n,size:r,height:o}){let a=Wt(t),i=b("sv\
g",{class:"gutter",width:a-6,height:o}),l=r>=x(11)&&n.length<e,h=-99;for(let d of n)d.y-h<x(12)||(h=d.y,i.append(b("text",
{x:l?a-x(36):a-12,y:d.y+x(4),"text-anchor":"end",class:"group"},Et(d.name,Ye(t)+(l?0:4)),b("title",null,d.name))));for(let d of l?
s:[])i.append(b("text",{x:a-12,y:d.y+r/2+x(4),"text-anchor":"end",class:"item"},t.state.rows==="type"?d.adapter.layer??"":
Et(d.adapter.type.replace(/_proj$/,""),5)));return i}var fr=1.5;function ts(t,e,s){if(t.step<e.first[0])return c("p",{class:"none"},"Nothing was measured up to this step.");
let n=e.columnOf(t.step)*e.n,r=t.adapters.map(l=>{let h=n+l.index,d=e.flags[h]&3;return{adapter:l,value:e.high[h],broken:d,
far:d?1/0:e.high[h]===0?-1/0:Math.log2(e.high[h]/s[l.index])}}).filter(({far:l})=>!Number.isNaN(l)).sort((l,h)=>l.far-h.
far);if(!r.some(({value:l})=>l!==0))return c("p",{class:"none"},r.length?"Nothing is above zero at this step.":"Not meas\
ured at this step.");let o=r[r.length>>1].far,a=({far:l})=>Math.min(Math.abs(l),Number.isFinite(o)?Math.abs(l-o):1/0),i=r.
filter(l=>a(l)>=Math.log2(fr)).sort((l,h)=>a(h)-a(l)||h.value-l.value);return i.length?c("ol",{class:"standout"},i.slice(
0,Math.max(6,Math.floor((innerHeight-x(200))/x(27)))).map(({adapter:l,value:h,broken:d,far:u})=>c("li",null,c("button",{
class:"row",title:l.name,onclick:()=>t.set({view:"layer",adapter:l.name})},c("span",{class:"clip"},l.short),c("b",null,d?
dt(d):$(h)),c("small",{class:d?"broken":null},d?"":Number.isFinite(u)?Qe(u):"0"))))):c("p",{class:"none"},`None: most ar\
e at ${Qe(o)} their own median.`)}var Qe=t=>`${t<0?"÷":"×"} ${$(2**Math.abs(t))}`;var mr="Heatmap",It={absolute:"value",relative:"relative to its own median",rank:"rank among adapters"},Lt={type:"by mod\
ule",depth:"by depth"},Zt=()=>x(268);async function pr(t){let{state:e,adapters:s}=t,n=gr(t);if(!s.length||!e.metric)return c(
"p",{class:"empty-page"},"This run has no adapters.");let r=t.width>3*Zt(),o=t.width-(r?Zt()+16:0)-28,a=o-Wt(t)-4,i=Math.
max(50,Math.floor(a/50)*50),l=e.from!==""||e.to!=="",h=await t.metric(e.metric,{max_cols:i}),[d,u]=await Promise.all([l?
t.metric(e.metric,{max_cols:i,from:e.from,to:e.to}):h,t.series("loss",{max_cols:2e3})]);if(t.notes=[...new Set([...t.notes,
...d.notes])],!d.columns)return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen ran\
ge."));t.data.prefetched!==e.run&&yr(t,i),h.until=t.lastStep,d.until=Math.min(t.lastStep,e.to===""?1/0:Number(e.to));let f=es(
h,"middles",()=>Ze(h)),m=es(d,`${e.colour}`,()=>Je(d,e.colour,f)),p=Xe(t,d,u,m,f,a);return c("div",{class:"heat"},n,c("d\
iv",{class:"columns",style:`grid-template-columns:minmax(0,1fr)${r?` ${Zt()}px`:""}`},c("section",{class:"card"},wr(t,d,
m),p),c("section",{class:"card side"},c("header",null,c("h2",null,S(`Stand out at ${d.steps(d.columnOf(t.step))}`,"Stand\
 out"))),ts(t,d,f))))}function gr(t){let{state:e,run:s}=t,n=(r,o)=>c("div",{class:"segment",role:"group","aria-label":r},
Object.entries(o).map(([a,i])=>c("button",{id:`${r}-${a}`,"aria-pressed":String(e[r]===a),onclick:()=>t.set({[r]:a})},i)));
return c("div",{class:"toolbar"},c("span",{class:"pick"},S("Metric",e.metric),c("select",{id:"metric","aria-label":"metr\
ic",onchange:r=>t.set({metric:r.target.value})},s.metrics.map(r=>c("option",{value:r,selected:r===e.metric},r)))),c("spa\
n",{class:"pick"},S("Colour"),n("colour",It)),c("span",{class:"pick"},S("Rows"),n("rows",Lt)),c("span",{class:"note"},"d\
rag to zoom, click for the adapter"))}function wr(t,e,s){return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`\
background:${je(s.scale,t.dark)}`}),c("span",null,s.ends.map(n=>c("span",null,n)))),c("span",{class:"key"},c("i",{class:"\
nan"}),"NaN or Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"not measured"),c("span",{class:"grow"}),J(t.state.
metric,()=>gt(t.adapters.map(({name:n,index:r})=>({name:n,matrix:e,column:r})))),c("span",{class:"note"},e.pooled?`${e.rows}\
 steps in ${e.columns} columns; extremes and NaN kept`:`${e.rows} ${e.rows===1?"step was":"steps were"} read`))}async function yr(t,e){
let{run:s}=t.state;t.data.prefetched=s;for(let n of t.run.metrics){if(t.state.run!==s)return;await t.data.metric(s,n,{max_cols:e}).
catch(()=>{})}}var Jt=new WeakMap;function es(t,e,s){Jt.has(t)||Jt.set(t,new Map);let n=Jt.get(t);return n.has(e)||n.set(
e,s()),n.get(e)}var Xt={};at(Xt,{draw:()=>xr,figuresOf:()=>ns,title:()=>br});var br="Layer",ss=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"],["drift_norm","drift_norm","2 3"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",
[["output_ratio","output_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],[
"relative_spectral_norm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],
["Ranks in use","of r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius nor\
ms",[["a_norm","A"],["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","\
B"]],!0],["Magnitudes","‖m‖ of DoRA",[["magnitude_norm","magnitude_norm"]],!1],["Magnitudes moved","the farthest of \
them, since the start",[["magnitude_drift","magnitude_drift"]],!0],["Product","‖B·A‖, without the scale",[["product\
_norm","product_norm"]],!0],["Update in one step","‖ΔW now − ΔW before‖",[["step_norm","step_norm"]],!0],["Updat\
es that arrived","share of 64 numbers that changed",[["a_changed","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ /\
 ‖W₀‖, 0 where it rests",[["base_drift","base_drift"]],!0],["s · lr","scale × learning rate",[["effective_lr","e\
ffective_lr"]],!1],["Scale s","the live factor",[["scale","scale"]],!1]];async function xr(t){let{adapter:e,run:s,state:n}=t;
if(!e)return c("p",{class:"empty-page"},"This run has no adapters.");let r=t.width>x(1260)?4:3,o=C(t.width,Array(r).fill(
1)),a=o.widths[0],i=new Set(ss.flatMap(([,,y])=>y.map(([w])=>w))),l=[...ss,...s.metrics.filter(y=>!i.has(y)).map(y=>[L(y),
null,[[y,y]],!0])].map(([y,w,v,_])=>({name:y,note:w,log:_,several:v.length>1,metrics:v.filter(([E])=>s.metrics.includes(
E))})).filter(({metrics:y})=>y.length),h=l.flatMap(({metrics:y})=>y.map(([w])=>w)),d={max_cols:400,adapter:e.index,from:n.
from,to:n.to},u={...d,from:n.from||1},f=Object.fromEntries(await Promise.all(h.map(async y=>[y,await t.metric(y,y==="eff\
ective_lr"?u:d)]))),m=await t.data.spectrum(n.run,e.index,t.state.step===""?null:t.step).catch(()=>({})),p=t.alerts.filter(
y=>y.adapters?.some(({name:w})=>w===e.name)),g=ns(m.sigma)??await $r(t);return c("div",{class:"layer"},vr(t,p),c("div",{
class:"columns",style:o.style},Mr(t,g,m,a),l.map(({name:y,note:w,metrics:v,log:_,several:E})=>{let M=v.map(([k,A,W],P)=>({
name:A,matrix:f[k],colour:W?"var(--soft)":`var(--c${P+1})`,dash:W})),N=M.length>1||E;return q(y,w,M,{legend:N,term:v[0][0],
width:a-26,height:x(150)+(N?0:x(21)),log:_||v[0][0]==="effective_lr"&&z(t.alerts).length>0,range:t.range(),step:t.step,onStep:t.
setStep,onZoom:t.zoom,discarded:z(t.alerts),alerts:p.filter(k=>v.some(([A])=>A===k.metric)),onAlert:k=>t.openAlert(k,"al\
erts")})})))}function vr(t,e){let{adapter:s,adapters:n,schema:r}=t,o=r.peak_lr?.[s.group??-1],a=l=>t.set({adapter:n[(s.index+
l+n.length)%n.length].name}),i=(l,h,d)=>h!=null&&c("div",null,c("dt",null,l),c("dd",null,h,d&&c("small",null,` ${d}`)));
return c("section",{class:"card layer-head"},c("div",{class:"title"},c("button",{id:"before",class:"quiet",title:"adapte\
r before (↑)",onclick:()=>a(-1)},"‹"),c("select",{id:"adapter","aria-label":"adapter",title:s.name,onchange:l=>t.set(
{adapter:l.target.value})},n.map(l=>c("option",{value:l.name,selected:l===s},l.name))),c("button",{id:"after",class:"qui\
et",title:"adapter after (↓)",onclick:()=>a(1)},"›"),c("span",{class:"note"},`${s.index+1} of ${n.length}`),c("span",
{class:"grow"}),e.length?e.map(l=>c("button",{class:"chip",onclick:()=>t.openAlert(l,"alerts"),title:l.message},R(l.severity,
11),`${L(l.name)}, step ${l.step}`)):c("span",{class:"note"},"✓ no alert names this adapter")),c("dl",{class:"facts"},
i(S("Kind"),s.kind),s.d_out!=null&&i(S("W₀"),`${s.d_out} × ${s.d_in}`),(s.r??0)>0&&i(S("B · A"),`${s.d_out} × ${s.r}\
 · ${s.r} × ${s.d_in}`),i(S("r","r"),s.r||null),i(S("α","alpha"),s.alpha==null?null:$(s.alpha)),i(S("s","scale"),s.scale==
null?null:$(s.scale),kt(s.scale_formula)),i(S("Group","group"),s.group==null?"in no optimizer group":String(s.group),o!=
null?`lr ≤ ${$(o)}`:null),i(S("Trainable"),s.trainable?.toLocaleString("en")),i(S("‖W₀‖","base_norm"),s.base_norm==
null?"unknown":$(Number(s.base_norm))),i(S("σ₁(W₀)","base_spectral_norm"),s.base_spectral_norm==null?"unknown":$(Number(
s.base_spectral_norm)))))}function ns(t){if(!t?.length)return null;let e=t.map(o=>o??Number.NaN),s=e.reduce((o,a)=>o+a,0),
n=e.reduce((o,a)=>o+a*a,0);if(s===0)return{effective:0,stable:0,share:Number.NaN};let r=e.reduce((o,a)=>o-(a&&a/s*Math.log(
a/s)),0);return{effective:Math.exp(r),stable:n/e[0]**2,share:e[0]**2/n}}async function $r(t){let{adapter:e,run:s}=t,n=async(u,f)=>s.
metrics.includes(u)?t.metric(u,{at:f,adapter:e.index}):null,r=await n("spectral_norm",t.step),o=r?.columns?r.last[r.columnOf(
t.step)]:t.step,a=await Promise.all(["delta_norm","stable_rank","effective_rank"].map(u=>n(u,o))),[i,l,h,d]=[r,...a].map(
u=>u?.at(o)??Number.NaN);return{effective:d,stable:h,share:(i/l)**2}}function Mr({adapter:t,step:e},{effective:s,stable:n,
share:r},o,a){let{step:i,sigma:l,first_step:h,first_sigma:d}=o,u=t.r??1,f=a-26,m=p=>Number.isNaN(p)?"–":$(p);return I(
S(`Spectrum at step ${i??e}`,"spectrum"),u>0?`σ of ΔW, r = ${u}`:"of ΔW",c("div",{class:"figures"},c("div",null,c("b",
null,m(s)),S("effective rank","effective_rank")),c("div",null,c("b",null,m(n)),S("stable rank","stable_rank")),c("div",null,
c("b",null,Number.isFinite(r)?U(r):"–"),"of ‖ΔW‖² in σ₁")),kr(l,h===i?null:d,h,f,t.r?"not written up to this \
step":"of this method σ₁ alone is measured"))}function kr(t,e,s,n,r){let o=x(112),a=V("spectrum",n,o,"singular values\
 of ΔW, largest first",{id:"spectrum"}),i=[...t??[],...e??[]].filter(h=>h>0);if(!i.length)return a.append(et(n/2,o/2,t?.
length?"ΔW is zero":r)),a;let l=_r(i,t.length,n,o);return a.append(...H(Y(l.low,l.high,(l.foot-l.top)/x(18)),l,l.Y)),t.
forEach((h,d)=>{let u=e?.[d]!=null&&`${$(e[d])} at step ${s}`;a.append(...Ar(h,d,t.length,u,l))}),a.append(...Nr(l)),e?.
some(h=>h>0)&&a.append(...Sr(e,s,l)),a}function _r(t,e,s,n){let r=x(58),o=x(12),a=n-x(22),i=Math.log10(Math.max(...t))+.1,
l=Math.max(i-4,Math.min(Math.log10(Math.min(...t))-.2,i-1)),h=d=>a-(Math.max(l,Math.min(i,Math.log10(d)))-l)/(i-l)*(a-o);
return{left:r,right:s,top:o,foot:a,height:n,low:l,high:i,slot:(s-r)/e,Y:h}}var Nr=({left:t,top:e,foot:s,height:n})=>[b("\
text",{class:"axis-name","text-anchor":"middle",transform:`translate(${x(10)},${(e+s)/2})rotate(-90)`},"σ, log"),b("tex\
t",{class:"axis-name",x:t-8,y:n-4,"text-anchor":"end"},"index")];function Ar(t,e,s,n,{left:r,right:o,top:a,foot:i,height:l,
slot:h,Y:d}){let u=r+(e+.5)*h,f=Math.ceil(s/Math.max(1,Math.floor((o-r)/x(26))));return[b("circle",{cx:u,cy:t>0?d(t):i,r:Math.
max(1,Math.min(4,h/3)),class:"sigma"}),b("rect",{x:r+e*h,width:h,y:a,height:i-a,fill:"transparent",onpointermove:m=>O.show(
m,`σ${e+1} = ${t==null?"not finite":$(t)}`,n),onpointerleave:()=>O.hide()}),...e%f===0?[b("text",{x:u,y:l-4,"text-ancho\
r":"middle"},e+1)]:[]]}var Sr=(t,e,{left:s,right:n,slot:r,Y:o})=>[b("path",{class:"then",d:t.map((a,i)=>a>0?`M${s+i*r} ${o(
a)}h${r}`:"").join("")}),b("text",{x:n,y:x(9),"text-anchor":"end"},`– at step ${e}`)];var K={overview:Vt,heatmap:Yt,layer:Xt,alerts:qt,compare:Gt};function Qt(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(c("nav",{"aria-label":"views"},
Or(t)),Ir(t),Er(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.step==="",
onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all steps (Esc)",
onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?Wr(t):"",c("button",{id:"k\
eys",class:"quiet","aria-label":"help",title:"help (?)",onclick:()=>t.help.showModal()},"?")),e&&document.getElementById(
e)?.focus({preventScroll:!0})}function Or(t){let e=j.find(s=>t.alerts.some(n=>n.severity===s));return Object.entries(K).
map(([s,n],r)=>c("button",{id:`tab-${s}`,"aria-current":s===t.state.view&&"page",title:`key ${r+1}`,onclick:()=>t.set({view:s})},
n.title,s==="alerts"&&t.alerts.length?c("span",{class:`count ${F(e)}`},t.alerts.length):null))}var Er=t=>c("label",{class:"\
pick scrub"},"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.
setStep(Number(e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"st\
ep"},t.step)),Wr=t=>c("button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-lab\
el":t.newer?null:"refresh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function Ir(t){let{run:e}=t.state,s=Object.
keys(t.runs).sort((r,o)=>r.localeCompare(o,void 0,{numeric:!0})),n=({target:r})=>{let o=r.value.toLowerCase(),a=s.find(l=>l===
r.value)??s.filter(l=>l.toLowerCase().includes(o)),i=typeof a=="string"?a:a.length===1?a[0]:e;r.value=i,t.main.focus({preventScroll:!0}),
i!==e&&t.set({run:i,adapter:"",step:"",from:"",to:"",alert:""})};return c("label",{class:"pick"},"Run",c("input",{id:"ru\
n",type:"search",list:"runs",value:e,placeholder:e,title:`${e} (type to search ${s.length})`,onfocus:({target:r})=>{r.value=
""},onblur:({target:r})=>{r.value||=e},onchange:n}),c("datalist",{id:"runs"},s.map(r=>c("option",{value:r}))))}var Ft=class{prefetched;#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){
return this.#e("runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e(
"alerts",{run:e})}rules(e){return this.#e("rules",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}sweep(){
return this.#e("sweep",{})}spectrum(e,s,n){return this.#e("spectrum",{run:e,adapter:s,step:n})}metric(e,s,n){return this.#e(
"metric",{run:e,metric:s,...n})}spread(e,s,n){return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e(
"scalars",{run:e,name:s,...n})}async#e(e,s){let n=Object.entries(s).filter(([,i])=>i!=null&&i!=="").map(([i,l])=>[i,String(
l)]),r=`${e}?${new URLSearchParams(n)}`;if(this.#t.has(r)){let i=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,i),
i}let o=this.#r,a=this.#n(e,n);this.#t.set(r,a);try{let i=await a;return this.#s.set(a,i.bytes??0),o===this.#r&&this.#o(),
i}catch(i){throw this.#t.get(r)===a&&this.#t.delete(r),i}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())
s+=e(n);for(let[n,r]of this.#t){if(s<=104857600)break;s-=e(r),this.#t.delete(n)}}};var Lr=[["1 – 5","switch the view",!0],["← →","one step back or on (with Shift: a twentieth of the run)",!1],["↑ ↓",
"adapter before or after",!1],["[ ]","metric before or after",!0],["c","colour of the heatmap",!0],["g","grouping of the\
 heatmap",!0],["Enter","from the heatmap to its adapter",!1],["End","follow the latest step",!1],["drag","zoom into the \
steps of a chart",!1],["Esc","leave the zoom, close this",!1],["?","this help",!0]],Fr=[["ΔW","ΔW"],["output ratio","o\
utput_ratio"],["depth-scaled output ratio","depth-scaled output ratio"],["p90","p90"],["blocks","blocks"],["‖ΔW‖","\
delta_norm"],["s","scale"],["s · lr","effective_lr"],["gain","gain"],["zone","zone"],["effective rank","effective_rank"],
["alert","alerts"]],rs="lora_watch.single_keys";function te(){try{return localStorage.getItem(rs)!=="off"}catch{return!0}}
function Rr(t){try{localStorage.setItem(rs,t?"on":"off")}catch{}}function os(){let t=s=>c("dl",null,s.map(([n,r])=>[c("d\
t",null,n),c("dd",null,r)])),e=c("dialog",{id:"help","aria-labelledby":"help-title"},c("header",null,c("h2",{id:"help-ti\
tle"},"What it shows"),c("button",{id:"close",class:"quiet","aria-label":"close",onclick:()=>e.close()},"✕")),t(Fr.map(
([s,n])=>[s,pt(n)])),c("h2",null,"Keys"),c("label",{class:"switch"},c("input",{id:"single-keys",type:"checkbox",checked:te(),
onchange:({target:s})=>Rr(s.checked)})," keys of one letter or digit act (those with a dot)"),t(Lr.map(([s,n,r])=>[s,r?`${n}\
 ·`:n])));return e.addEventListener("click",s=>s.target===e&&e.close()),e}var ee="lora_watch",mt=`p.${ee}.`,se=!1;function as(){se=!0}function ne(){if(se)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function is(t){let{port1:e,port2:s}=new MessageChannel;e.onmessage=({data:n})=>{
let r=JSON.parse(n);r.isReply||(r.type==="experimental.DataReloaded"&&t(),e.postMessage(JSON.stringify({type:r.type,id:r.
id,payload:null,error:null,isReply:!0})))},window.parent.postMessage("experimental.bootstrap","*",[s])}function ls(t){let e=()=>{
let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener("change",()=>t(s.matches)),t(s.matches)};if(se)return e();
try{let s=window.parent.document.body,n=()=>t(s.classList.contains("dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,
attributeFilter:["class"]}),n()}catch{e()}}var Rt=()=>ne().location.hash.replace(/^#/,"").split("&"),cs=()=>["",ee].includes(
Rt()[0]);function re(){let t={};for(let e of Rt()){if(!e.startsWith(mt))continue;let[s,n=""]=e.slice(mt.length).split("=");
try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}return t}function hs(t,e){if(!cs())return;let s=Rt().filter((o,a)=>a>
0&&o&&!o.startsWith(mt)),n=Object.entries(t).filter(([,o])=>o!==""&&o!=null).map(([o,a])=>`${mt}${o}=${encodeURIComponent(
a)}`),{history:r}=ne();try{r[e?"pushState":"replaceState"](r.state,"",`#${[ee,...n,...s].join("&")}`)}catch{}}function ds(t){
let e=ne(),s=()=>{cs()&&Rt().some(n=>n.startsWith(mt))&&t(re())};e.addEventListener("hashchange",s),window.addEventListener(
"pagehide",()=>e.removeEventListener("hashchange",s))}function fs(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||t.help.open||e.target.matches?.("input[type=search], selec\
t, input[type=text]")||e.key.length===1&&!te()||e.target.id==="scrub"&&e.key.startsWith("Arrow"))return;let s=(a,i,l)=>a[(a.
indexOf(i)+l+a.length)%a.length],n=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,r=t.adapters.map(a=>a.name),o={ArrowLeft:()=>t.
setStep(t.step-n),ArrowRight:()=>t.setStep(t.step+n),ArrowUp:()=>t.set({adapter:s(r,t.adapter?.name,-1)}),ArrowDown:()=>t.
set({adapter:s(r,t.adapter?.name,1)}),"[":()=>t.set({metric:s(t.run.metrics,t.state.metric,-1)}),"]":()=>t.set({metric:s(
t.run.metrics,t.state.metric,1)}),c:()=>t.set({colour:s(Object.keys(It),t.state.colour,1)}),g:()=>t.set({rows:s(Object.keys(
Lt),t.state.rows,1)}),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""}),"?":()=>t.help.showModal()}[e.key]??(e.
key in{1:0,2:0,3:0,4:0,5:0}?()=>t.set({view:Object.keys(K)[e.key-1]}):null);!o||["ArrowUp","ArrowDown"].includes(e.key)&&
["alerts","overview","compare"].includes(t.state.view)||(e.preventDefault(),o())}var oe={view:"overview",run:"",metric:"",colour:"absolute",rows:"type",adapter:"",step:"",from:"",to:"",level:"",find:"",
sort:"",alert:"",runs:"",among:""},Cr=["output_ratio","relative_spectral_norm","relative_norm","delta_norm"],Tr=5e3;function jr(t,e,s){
let n=Object.keys(e).filter(i=>!(i in t)),r=n.length?`${n.length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&
!Object.keys(t).length)return{words:r,isHere:!0};let[o,a]=[t[s],e[s]];return o&&a&&a.step!==o.step?{words:`now at step ${a.
step}`,isHere:!0}:o&&a&&a.wall_time!==o.wall_time?{words:"more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var Ct=class{constructor(e,s,n=!0){
this.data=new Ft(s),this.live=n,this.state={...oe},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),
this.help=os(),this.said=c("div",{id:"said",class:"unseen","aria-live":"polite"}),this.heading=c("h1",{class:"unseen"}),
e.append(this.heading,this.bar,this.main,this.help,this.said),document.documentElement.lang="en",this.drawing=0,this.runs=
{},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},this.ending={verdict:null,message:null,
first:null},this.alerts=[],this.adapters=[],this.notes=[]}async start(){ls(n=>{this.dark=n,document.documentElement.classList.
toggle("dark",n),this.shown&&this.draw()}),this.#s(re()),ds(n=>{this.wanted=null,this.#s(n),this.draw()}),this.live&&is(
()=>this.refresh()),addEventListener("keydown",n=>fs(this,n));let e=innerWidth,s;addEventListener("resize",()=>{clearTimeout(
s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},80)}),addEventListener("pointerdown",()=>{
this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&setInterval(()=>this.#n(),Tr),await this.
refresh(),this.main.focus({preventScroll:!0})}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.
hidden||!innerWidth||!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);
if(e!==this.state.run)return;let n=jr(this.runs,s,this.wanted?.run??e),r=this.pressed||this.help.open||document.activeElement?.
matches("input[type=search]");if(n?.isHere&&this.#t&&!r)return this.refresh();!r&&tt(this.ending,this.run)?.word!==this.
endWord&&await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,Qt(this))}get#t(){let{step:e,to:s}=this.state;return s===
""&&(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.wanted=null,this.#s({...this.state,
...e}),this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.state=Object.fromEntries(Object.entries(
oe).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in K||(this.state.view="overview")}async draw(){let e=++this.drawing,
{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-busy","true");let r=setTimeout(()=>{e===this.
drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{if(this.runs=await this.data.runs(),!Object.
keys(this.runs).length)return this.#a(e,c("p",{class:"empty-page"},"No run here holds LoRA data yet. Add LoraWatchCallba\
ck() to the Trainer."));this.#r();let o=await this.#e();if(e!==this.drawing)return;await this.#o(o),Qt(this),this.#l();let a=await K[this.
state.view].draw(this);this.#a(e,a)}catch(o){this.#a(e,c("div",{class:"empty-page",role:"alert"},c("p",null,`This view c\
ould not be drawn: ${o.message}`),c("button",{id:"again",class:"quiet",onclick:()=>this.refresh()},"Try again")))}finally{
clearTimeout(r)}}#r(){this.wanted&&this.wanted.run in this.runs&&([this.state,this.wanted]=[this.wanted,null]),!(this.state.
run in this.runs)&&(this.state.run&&(this.wanted??=this.state),this.#s({...this.wanted?{view:this.state.view}:this.state,
run:Object.keys(this.runs).reduce((e,s)=>this.runs[s].wall_time>this.runs[e].wall_time?s:e)}))}async#e(){let e=this.state.
run,[s,n,r]=await Promise.all([this.data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,found:n,ending:r}}async#o({
schema:e,found:s,ending:n}){this.schema=e,this.ending=n,this.alerts=s.alerts,this.notes=[...e.notes,...s.notes],this.run=
this.runs[this.state.run],this.adapters=await this.#h(e),this.missing=this.#i();let r=this.run.metrics;r.includes(this.state.
metric)||(this.state.metric=Cr.find(o=>r.includes(o))??r[0]??""),this.endWord=tt(n,this.run)?.word,this.newer=void 0}#i(){
let{adapter:e}=this.state;return this.wanted?`There is no run “${this.wanted.run}” here, or TensorBoard has not read i\
t yet. This is the latest one.`:e&&!this.adapters.some(({name:s})=>s===e)?`This run has no adapter “${e}”.`:this.adapters.
length?null:"This run has no adapters: nothing but its loss and rates is known."}#l(){this.wanted||hs(Object.fromEntries(
Object.entries(this.state).filter(([e,s])=>s!==oe[e])),this.navigated),this.navigated=!1}#c(e){let s=e==="compare"?` and\
 ${Object.keys(this.runs??{}).length} runs`:"";this.main.replaceChildren(c("div",{class:"empty-page",role:"status",id:"l\
oading"},`Reading ${K[e].title.toLowerCase()}${s} …`,c("progress")))}#a(e,s){if(e!==this.drawing)return;let n=document.
activeElement?.id,r=this.main.scrollTop;O.hide();let o=rt("notes",[this.missing??[]].flat());de(this.main,c("main",null,
o,s,rt("notes",this.notes??[]))),n&&document.activeElement?.id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),
document.activeElement===document.body&&this.main.focus({preventScroll:!0}),this.main.scrollTop=this.shown===this.state.
view?r:0,this.heading.textContent=document.title=`LoRA: ${K[this.state.view].title}, ${this.state.run}`,this.shown=this.
state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute("aria-busy"),document.body.dataset.
ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#h(e){let s=e.adapters;if(!s.length&&
this.run.metrics.length){let{n:r}=await this.data.metric(this.state.run,this.run.metrics[0],{max_cols:1});s=Array.from({
length:r},(o,a)=>({name:`adapter ${a}`}))}let n=Object.keys(e.config?.lora??{}).filter(r=>r!=="default");return Ge(s,n)}get lastStep(){
return this.run.step}get step(){let e=Number(this.state.step);return this.state.step===""||!(e>=0&&e<this.lastStep)?this.
lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){return this.adapters.find(e=>e.name===this.state.
adapter)??this.#d??this.adapters[0]}get#d(){let e=this.alerts[this.ending.first??-1]?.adapters?.[0]?.name;return this.adapters.
find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(this.main);return Math.max(280,this.main.
clientWidth-parseFloat(e)-parseFloat(s))}say(e){this.said.textContent=e}metric(e,s){return this.data.metric(this.state.run,
e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.data.spread(n,e,s):null}async series(e,s,n=this.
state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.
all(e.map(o=>this.series(o,s,n)));return Object.fromEntries(e.map((o,a)=>[o,r[a]]))}window(e){return{max_cols:e,from:this.
state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(
1,e):Number(n)]}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.
set({step:s>=this.lastStep?"":Math.max(0,s)})};openAlert=(e,s=this.state.view)=>this.set({view:s,step:e.step,alert:`${e.
rule}@${e.step}`,adapter:e.adapters?.[0]?.name??this.state.adapter,metric:this.run.metrics.includes(e.metric)?e.metric:this.
state.metric,from:"",to:""})};var ms=128;async function ps(t){let e=Uint8Array.from(atob(t.trim()),h=>h.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(
new DecompressionStream("deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:o,matrices:a}=JSON.
parse(new TextDecoder().decode(new Uint8Array(n,4,r))),i=new Map,l=h=>(i.has(h)||i.set(h,Pr(new Uint8Array(n,4+r+a[h].at),
a[h])),i.get(h));return async(h,d)=>{let{run:u="",metric:f,name:m,at:p,...g}=Object.fromEntries(d),y=Object.fromEntries(
Object.entries(g).map(([_,E])=>[_,Number(E)])),w=JSON.stringify([h,u,f??m??""]),v=JSON.stringify([`${h} at`,u,f??m??""]);
if(p&&v in a)return l(v);if(w in a)return l(w).window(y);if(!(w in o))throw new Error(`The report does not hold ${f??m??
h}.`);return h==="verdict"?Br(o[w],y.step??1/0):h==="spectrum"?zr(o[w],y.adapter,y.step??1/0):o[w]}}var Br=({first:t,...e},s)=>({
...e,first:t.findLast(([n])=>n<=s)?.[1]??null});function zr(t,e,s){let n=t.map(([l,h])=>[l,h[e]]).filter(([l,h])=>l<=s&&
h?.length),[r,o]=n.at(-1)??[null,null],[a,i]=n.find(([,l])=>l.some(Boolean))??[null,null];return{step:r,sigma:o,first_step:a,
first_sigma:i}}function Pr(t,e){let[s,n]=e.shape,r=s*n,o=e.pooled?2:1,a=Array.from({length:o},()=>new Float32Array(r)),i=new Uint8Array(
r),l=new Int32Array(1),h=new Float32Array(l.buffer),d=(u,f)=>t[(4*u+3)*r+f]<<24|t[(4*u+2)*r+f]<<16|t[(4*u+1)*r+f]<<8|t[4*
u*r+f];for(let u=0;u<n;u++){let f=0;for(let m=0;m<s;m++){let p=u*s+m,g=m*n+u,y=t[4*o*r+p];f=f+d(0,p)|0,i[g]=y&~ms;for(let w=0;w<
o;w++)l[0]=(w?f+d(1,p):f)<<e.shift,a[w][g]=y&ms?y&2&&!(y&1)?1/0:Number.NaN:h[0]}}return new wt(e,a[0],a[o-1],i)}as();var Ur=document.getElementById("answers");ps(Ur?.textContent??"").then(t=>new Ct(document.body,t,!1).start());
