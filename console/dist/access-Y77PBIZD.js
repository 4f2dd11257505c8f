import{g as c}from"./chunk-RLH3V6A7.js";function s(){return c("div",{class:"page",children:c("h1",{children:"Access"})})}export{s as AccessPage};
